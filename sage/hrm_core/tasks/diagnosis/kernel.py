"""Random graphs of causes, and the smallest sets of causes that explain all symptoms: compiled where numba is
installed.

A graph is a row of sets of symptoms, one a cause (bit s: this cause makes symptom s appear; 0: no cause), and
the set of symptoms that are present. A cause makes all of its symptoms appear: one with an absent symptom is
ruled out. A set of causes explains a graph where none is ruled out and every present symptom is one of
theirs.

Invariant: `smallest_sets` finds a smallest explanation and counts the smallest ones, up to two.
"""

# mypy: no-warn-return-any
# what an array holds is known to numba, not to mypy
from __future__ import annotations

import numpy as np

from sage.hrm_core.tasks.loops import draw, inner, loop, shuffled


@inner
def draw_subset(chance: np.ndarray, items: np.ndarray, num_items: int, size: int) -> int:
    """A set of `size` of the first `num_items` of `items`, which change their order."""
    found = 0
    for index in range(min(size, num_items)):
        other = index + draw(chance, num_items - index)
        items[index], items[other] = items[other], items[index]
        found |= 1 << items[index]
    return found


@inner
def between(chance: np.ndarray, fewest: int, most: int) -> int:
    """An integer from fewest to most, both included."""
    return fewest + draw(chance, most - fewest + 1)


@loop
def draw_graphs(
    chance: np.ndarray, limits: np.ndarray, alike: int, causes: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """Fills causes (N, C) with sets of symptoms, and returns (N, 2): the present symptoms, and the number
    of faults.

    limits (5, 2): fewest and most causes, symptoms, nodes, faults, symptoms of a cause. alike: thousandths.
    others (C,): scratch space.
    """
    found = np.zeros((len(causes), 2), np.int64)
    symptoms = np.zeros(64, np.int64)
    visible = np.zeros(64, np.int64)
    for row in range(len(causes)):
        num_nodes = between(chance, limits[2, 0], limits[2, 1])
        fewest = max(limits[0, 0], num_nodes - limits[1, 1])
        num_causes = between(chance, fewest, min(limits[0, 1], num_nodes - limits[1, 0]))
        num_symptoms = num_nodes - num_causes
        num_faults = between(chance, limits[3, 0], limits[3, 1])
        for symptom in range(num_symptoms):
            symptoms[symptom] = symptom
        shuffled(chance, others[:num_causes])
        for cause in range(causes.shape[1]):
            causes[row, cause] = 0
        present = 0
        for index in range(num_faults):
            reach = between(chance, limits[4, 0], limits[4, 1])
            causes[row, others[index]] = draw_subset(chance, symptoms, num_symptoms, reach)
            present |= causes[row, others[index]]
        num_visible = 0
        for symptom in range(num_symptoms):
            if (present >> symptom) & 1:
                visible[num_visible] = symptom
                num_visible += 1
        own_alike = draw(chance, alike + 1)
        for index in range(num_faults, num_causes):
            reach = between(chance, limits[4, 0], limits[4, 1])
            if draw(chance, 1000) < own_alike:
                causes[row, others[index]] = draw_subset(chance, visible, num_visible, reach)
            else:
                causes[row, others[index]] = draw_subset(chance, symptoms, num_symptoms, reach)
        found[row, 0] = present
        found[row, 1] = num_faults
    return found


@inner
def lowest(symptoms: int) -> int:
    """The number of the lowest bit of a set that is not empty."""
    number = 0
    while not (symptoms >> number) & 1:
        number += 1
    return number


@inner
def count_bits(symptoms: int) -> int:
    """The size of a set."""
    count = 0
    while symptoms:
        symptoms &= symptoms - 1
        count += 1
    return count


@inner
def covers_of(causes: np.ndarray, present: int, size: int, chosen: np.ndarray, first: np.ndarray) -> int:
    """The number of explanations of `size` causes, up to two. `first` (size,) is filled with one of them.

    Depth first: the lowest symptom that is left is explained by each of its causes in turn; a cause that was
    tried is not used again at or below that level, so that no set is found twice. chosen (size,): scratch.
    """
    if size == 0:
        return 1 if present == 0 else 0
    left = np.zeros(size + 1, np.int64)
    barred = np.zeros(size + 1, np.int64)
    left[0] = present
    if present == 0:
        return 0
    depth, count = 0, 0
    chosen[0] = -1
    while depth >= 0:
        if chosen[depth] >= 0:
            barred[depth] |= 1 << chosen[depth]
        bit = 1 << lowest(left[depth])
        cause = chosen[depth] + 1
        while cause < len(causes) and not (
            causes[cause] & bit and not causes[cause] & ~present and not (barred[depth] >> cause) & 1
        ):
            cause += 1
        if cause == len(causes):
            depth -= 1
            continue
        chosen[depth] = cause
        rest = left[depth] & ~causes[cause]
        if rest == 0:
            if depth == size - 1:
                if count == 0:
                    first[:] = chosen
                count += 1
                if count == 2:
                    return count
            continue  # fewer causes are another size's sets
        if depth < size - 1:
            barred[depth + 1] = barred[depth]
            depth += 1
            left[depth] = rest
            chosen[depth] = -1
    return count


@loop
def smallest_sets(causes: np.ndarray, present: np.ndarray, most: int, found: np.ndarray) -> np.ndarray:
    """(N, 2) the size of the smallest explanation, -1 where there is none of up to `most` causes, and how
    many are that small, up to two. causes (N, C), present (N,); found (N,) is filled with one of them, a set
    of causes."""
    sizes = np.full((len(causes), 2), -1, np.int64)
    for row in range(len(causes)):
        found[row] = 0
        for size in range(most + 1):
            chosen, first = np.zeros(size, np.int64), np.zeros(size, np.int64)
            count = covers_of(causes[row], present[row], size, chosen, first)
            if count > 0:
                sizes[row, 0] = size
                sizes[row, 1] = count
                for cause in first:
                    found[row] |= 1 << cause
                break
        if sizes[row, 0] < 0:
            sizes[row, 1] = 0
    return sizes


@loop
def greedy_sets(causes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(N,) sets of causes: of those that are not ruled out, the one with the most symptoms that are left, the
    first of equal ones, until none is left or no cause has any."""
    found = np.zeros(len(causes), np.int64)
    for row in range(len(causes)):
        left = present[row]
        while left:
            best, most = -1, 0
            for cause in range(causes.shape[1]):
                if causes[row, cause] & ~present[row]:
                    continue
                num = count_bits(causes[row, cause] & left)
                if num > most:
                    best, most = cause, num
            if best < 0:
                break
            found[row] |= 1 << best
            left &= ~causes[row, best]
    return found
