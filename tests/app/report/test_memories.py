"""The report's pictures of memory: entries by salience, and a map by principal components."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sage.app.report.memories import (
    GRACE_NS,
    MAX_POINTS,
    MemoryMap,
    memories_html,
    principal_components,
    read_memory_map,
)
from tests.app.memories.test_memories import EPOCH_NS, SECOND_NS, make


def test_the_components_of_points_near_a_line_are_the_line_and_what_is_across_it() -> None:
    along = np.random.default_rng(0).standard_normal(200)
    across = 0.1 * np.random.default_rng(1).standard_normal(200)
    keys = np.outer(along, [3.0, 4.0, 0.0]) / 5 + np.outer(across, [0.0, 0.0, 1.0])
    places, explained = principal_components(keys)
    assert np.abs(np.corrcoef(places[:, 0], along)[0, 1]) > 0.999
    assert np.abs(np.corrcoef(places[:, 1], across)[0, 1]) > 0.99
    assert sum(explained) == pytest.approx(1.0)
    assert explained[0] > 0.95
    np.testing.assert_allclose(principal_components(-keys)[0], -places, atol=1e-9)


def test_one_entry_has_a_place() -> None:
    places, explained = principal_components(np.ones((1, 4)))
    assert places.tolist() == [[0.0, 0.0]]
    assert explained == (0.0, 0.0)


@pytest.mark.parametrize(
    ("started_secs", "ended_secs", "is_found"),
    [(-10, 40, True), (-10, None, True), (31, None, False), (-999, -GRACE_NS // SECOND_NS + 20, False)],
)
def test_a_snapshot_of_the_session_is_read(
    tmp_path: Path, started_secs: int, ended_secs: int | None, is_found: bool
) -> None:
    state = make(tmp_path / "state")  # a snapshot of second 30
    session = SimpleNamespace(
        started_ns=EPOCH_NS + started_secs * SECOND_NS,
        ended_ns=None if ended_secs is None else EPOCH_NS + ended_secs * SECOND_NS,
    )
    found = read_memory_map(state.home, session)  # type: ignore[arg-type]
    assert (found is not None) == is_found
    if found is not None:
        assert len(found.places) == 30
        assert sorted(found.contexts) == [0, 1, 2]


def drawn(num: int) -> tuple[MemoryMap, str]:
    generator = np.random.default_rng(0)
    names = ("id", "first_id", "episode", "first_episode")
    columns = {name: np.arange(1, num + 1) for name in names}
    columns |= {"context": np.arange(num) % 3, "salience": generator.uniform(0, 1, num)}
    columns |= {"time_ns": EPOCH_NS + np.arange(num) * SECOND_NS, "trust": np.full(num, 0.5)}
    columns["first_time_ns"] = columns["time_ns"]
    memory = MemoryMap(
        saved_ns=EPOCH_NS, columns=columns, places=generator.standard_normal((num, 2)), explained=(0.6, 0.2)
    )
    return memory, memories_html(memory)


def test_every_entry_is_a_point_with_its_facts_and_in_a_bar() -> None:
    memory, page = drawn(60)
    assert page.count("<circle") == 60
    assert "id 7, episode 7, context 0, 2027-01-15 08:00:06 UTC" in page
    counts = [int(each) for each in re.findall(r"context \d: (\d+)</title>", page)]
    assert sum(counts) == 60
    assert "60 entries" in page
    assert len(memory.contexts) == page.count('<th scope="row">') == 3


def test_of_many_entries_the_most_salient_are_drawn_within_the_frame() -> None:
    memory, page = drawn(2 * MAX_POINTS)
    assert page.count("<circle") == MAX_POINTS
    assert f"The {MAX_POINTS} most salient of {2 * MAX_POINTS} entries" in page
    places = [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.-]+)" cy="([\d.-]+)"', page)]
    assert all(0 <= x <= 640 and 0 <= y <= 360 for x, y in places)
    least = np.sort(memory.columns["salience"])[MAX_POINTS:].min()
    radii = [float(each) for each in re.findall(r' r="([\d.]+)"', page)]
    assert min(radii) >= 3 + 6 * least - 0.06
