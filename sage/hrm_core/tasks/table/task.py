"""Clearing a table: in which order objects move to their goals, and which ones wait beside the table.

Invariant: an answer is judged by playing it; labels are the shortest plan that `kernel` finds. Cells are a
square, a row and a column a place, buffers last. The diagonal states what stands at a place. A cell relates
the object of its row to the place of its column, and the other way round: is it the goal, is what stands
there in the way? So a row and a column each state all about a place, and a model that reads both needs no
order of the places. In an answer the cell of an object's goal holds the round in which it moves there, and
the cell of the first buffer the round in which it is put aside, or none.
Cells: 0 pad (unused), 1 blank (of the first buffer), 2 blank, and the buffer's object goes to the row's
place; on the diagonal 3 empty, 4 object, 5 object at its goal, 6 buffer, 7 buffer with an object; from 8
4 r + c, where r is the row's relation and c the column's, of 0 none, 1 goal, 2 in the way, 3 both; rounds
from 24.
"""

from __future__ import annotations

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import IGNORED, Baseline, Examples, TaskSpec
from sage.hrm_core.tasks.split import Generated, are_held_out, without_ids
from sage.hrm_core.tasks.table.config import TableConfig
from sage.hrm_core.tasks.table.kernel import HOME
from sage.hrm_core.tasks.table.scenes import Scenes, as_sets, draw_scenes, orbit_keys_of, renamed
from sage.hrm_core.tasks.table.steps import Prefix, appended, prefix_of
from sage.hrm_core.tasks.table.text import draw_scene, place_name, read_scene, write_plan, write_scene

BLANK, BLANK_GOAL, EMPTY, OBJECT, SETTLED, BUFFER, FULL_BUFFER, NONE = range(1, 9)
NUM_RELATIONS, GOES, IN_WAY = 4, 1, 2
ROUND = NONE + NUM_RELATIONS**2


class TableTask(Generated):
    """Random scenes, kept where there is a plan."""

    def __init__(self, config: TableConfig | None = None) -> None:
        super().__init__()
        self.config = config or TableConfig()

    @property
    def spec(self) -> TaskSpec:
        rows = self.config.rows
        return TaskSpec(
            name="table", vocab_size=ROUND + self.config.most_moves, seq_len=rows**2, grid=(rows, rows)
        )

    def draw(self, num: int, rng: np.random.Generator, *, is_held_out: bool) -> Examples:
        scenes = draw_scenes(self.config, num, rng)
        keys = orbit_keys_of(scenes, self.config.places)
        return self.solved(scenes.take(are_held_out(keys) == is_held_out))

    def solved(self, scenes: Scenes) -> Examples:
        """Those with a plan of one move or more, with it."""
        from sage.hrm_core.tasks.table import kernel

        aside, home = np.zeros_like(scenes.goals), np.zeros_like(scenes.goals)
        num_moves = kernel.solve_scenes(scenes.goals, scenes.blockers, self.config.places, aside, home)
        is_kept = (num_moves > 0) & ((aside > 0).sum(axis=1) >= self.config.aside)
        scenes, aside, home = scenes.take(is_kept), aside[is_kept], home[is_kept]
        inputs = self.cells_of(scenes)
        answers = self.with_plan(inputs, aside, home)
        return without_ids(inputs, np.where(_is_asked(inputs), answers, IGNORED))

    def cells_of(self, scenes: Scenes) -> np.ndarray:
        """(N, L) int32: the puzzles of scenes."""
        here, places = np.arange(self.config.rows), self.config.places
        goes = (scenes.goals[:, :, None] == here) & scenes.is_open[:, :, None]
        relations = GOES * goes + IN_WAY * scenes.in_way
        cells = NONE + NUM_RELATIONS * relations + relations.transpose(0, 2, 1)
        may_wait = scenes.is_open[:, :places]
        cells[:, :places, places] = np.where(
            may_wait, np.where(goes[:, places, :places], BLANK_GOAL, BLANK), cells[:, :places, places]
        )
        on_table = np.where(scenes.is_open, OBJECT, np.where(scenes.goals >= 0, SETTLED, EMPTY))
        beside = np.where(scenes.goals >= 0, FULL_BUFFER, BUFFER)
        cells[:, here, here] = np.where(here < places, on_table, beside)
        puzzles: np.ndarray = cells.reshape(-1, self.spec.seq_len).astype(np.int32)
        return puzzles

    def scenes_of(self, inputs: np.ndarray) -> Scenes:
        """The reverse of `cells_of`."""
        here, cells = np.arange(self.config.rows), self._squares(inputs)
        goes, in_way = _relation(cells, GOES), _relation(cells, IN_WAY)
        goals = np.where(goes.any(axis=2), goes.argmax(axis=2), -1)
        goals = np.where(cells[:, here, here] == SETTLED, here, goals)
        return Scenes(goals=goals, blockers=as_sets(in_way))

    def _squares(self, cells: np.ndarray) -> np.ndarray:
        """(N, R, R) view."""
        return cells.reshape(-1, self.config.rows, self.config.rows)

    def rounds_of(self, inputs: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """aside, home (N, R) int64: the rounds of answers, 0 for none."""
        goals = np.maximum(self.scenes_of(inputs).goals, 0)
        numbers = np.where(_is_asked(inputs), np.maximum(answers.astype(np.int64) - ROUND + 1, 0), 0)
        squares = self._squares(numbers)
        home = np.take_along_axis(squares, goals[:, :, None], axis=2)[:, :, 0]
        aside = np.where(
            np.arange(self.config.rows) < self.config.places, squares[:, :, self.config.places], 0
        )
        return np.ascontiguousarray(aside), np.ascontiguousarray(home)

    def with_plan(self, inputs: np.ndarray, aside: np.ndarray, home: np.ndarray) -> np.ndarray:
        """(N, L) int32: puzzles with plans; aside, home (N, R): when an object moves, 0 never."""
        symbols = [np.where(each > 0, ROUND + each - 1, NONE)[:, :, None] for each in (aside, home)]
        cells = self._squares(inputs)
        answers = np.where(_is_blank(cells), symbols[0], cells)
        answers = np.where(_relation(cells, GOES), symbols[1], answers)
        return answers.reshape(inputs.shape).astype(np.int32)

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """A plan of any length whose moves keep the rules and bring every object to its goal. Other cells
        than those of a plan do not count.
        """
        return self._judged(inputs, answers)[0]

    def scores(self, examples: Examples, answers: np.ndarray) -> dict[str, np.ndarray]:
        """optimal: a plan without a move too many.  legal_moves: the share of the moves of a plan that are
        made before one breaks a rule."""
        is_right, num_made, num_planned = self._judged(examples.inputs, answers)
        shortest = self.num_moves(examples.inputs)
        return {
            "optimal": (is_right & (num_planned == shortest)).astype(np.float64),
            "legal_moves": num_made / np.maximum(num_planned, 1),
        }

    def num_moves(self, inputs: np.ndarray) -> np.ndarray:
        """(N,) moves of the shortest plans, -1 where there is none."""
        from sage.hrm_core.tasks.table import kernel

        scenes = self.scenes_of(inputs)
        spare = np.zeros_like(scenes.goals)
        found: np.ndarray = kernel.solve_scenes(
            scenes.goals, scenes.blockers, self.config.places, spare, spare.copy()
        )
        return found

    def _judged(self, inputs: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N,) each: whether the plan is right, moves made, moves planned."""
        from sage.hrm_core.tasks.table import kernel

        scenes = self.scenes_of(inputs)
        aside, home = self.rounds_of(inputs, answers)
        played = kernel.play_plans(scenes.goals, scenes.blockers, self.config.places, aside, home)
        is_round = (answers >= ROUND) & (answers < self.spec.vocab_size)
        is_plan = (is_round | (answers == NONE) | ~_is_asked(inputs)).all(axis=1)
        num_planned = (aside > 0).sum(axis=1) + (home > 0).sum(axis=1)
        return (played[:, 1] > 0) & is_plan, played[:, 0], num_planned

    def may_extend(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """(N,) bool. partial: puzzles with the first moves of a plan, the first in round 1, each next one in
        the next round. The moves keep the rules in this order.
        """
        return np.array([self._prefix(*rows) is not None for rows in zip(inputs, partial)], bool)

    def next_choices(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """Every move that the rules allow next; none where all objects are at their goals."""
        prefix = self._known_prefix(inputs, partial)
        symbol = ROUND + prefix.num_moves
        steps = [(cell, symbol) for cell, _ in self._next_cells(inputs, prefix)]
        return np.array(steps, np.int32).reshape(-1, 2)

    def as_inputs(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """The scene after the moves, as a puzzle. InputError where may_extend is False."""
        prefixes = [self._known_prefix(*rows) for rows in zip(inputs, partial)]
        shape = (len(prefixes), self.config.rows)
        goals = np.array([each.goals for each in prefixes], np.int64).reshape(shape)
        blockers = np.array([each.blockers for each in prefixes], np.int64).reshape(shape)
        return self.cells_of(Scenes(goals=goals, blockers=blockers))

    def complete(self, inputs: np.ndarray, partial: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """The moves of partial, then the answer's, in rounds without gaps. A symbol of the answer that is no
        round stays, so that the plan is refused where it is none.
        """
        whole = np.array(inputs, np.int32)
        for row, puzzle, moves, answer in zip(whole, inputs, partial, answers):
            prefix = self._known_prefix(puzzle, moves)
            cells, sources = self._asked_cells(puzzle, prefix)
            later = answer[sources].astype(np.int64)
            is_round = (later >= ROUND) & (later < self.spec.vocab_size)
            numbers = appended(np.where(is_round, later - ROUND + 1, 0), prefix.num_moves)
            row[_is_asked(puzzle)] = NONE
            row[cells] = np.where(is_round, ROUND + numbers - 1, later)
            is_made = moves >= ROUND
            row[is_made & _is_asked(puzzle)] = moves[is_made & _is_asked(puzzle)]
        return whole

    def choice_log_probs(self, inputs: np.ndarray, partial: np.ndarray, log_probs: np.ndarray) -> np.ndarray:
        """Of a move that may follow: the log-probability that the rest of the plan makes it in round 1."""
        found = np.array(log_probs, np.float64)
        for scores, puzzle, moves, own in zip(found, inputs, partial, log_probs):
            prefix = self._known_prefix(puzzle, moves)
            for cell, source in self._next_cells(puzzle, prefix):
                scores[cell, ROUND + prefix.num_moves] = own[source, ROUND]
        return found

    def _prefix(self, puzzle: np.ndarray, partial: np.ndarray) -> Prefix | None:
        """Of one puzzle and partial answer (L,)."""
        is_made = (puzzle != partial) & _is_asked(puzzle)
        is_round = (partial >= ROUND) & (partial < self.spec.vocab_size)
        if not np.where(is_made, is_round, puzzle == partial).all():
            return None
        scene = self.scenes_of(puzzle[None])
        aside, home = self.rounds_of(puzzle[None], partial[None])
        return prefix_of(scene.goals[0], scene.blockers[0], self.config.places, aside[0], home[0])

    def _known_prefix(self, puzzle: np.ndarray, partial: np.ndarray) -> Prefix:
        prefix = self._prefix(puzzle, partial)
        if prefix is None:
            raise InputError("a partial answer's moves break a rule: give one that may_extend accepts")
        return prefix

    def _next_cells(self, puzzle: np.ndarray, prefix: Prefix) -> list[tuple[int, int]]:
        """Of each move that may follow: its cell in the puzzle, and in the puzzle that remains."""
        rows, goals = self.config.rows, self.scenes_of(puzzle[None]).goals[0]
        columns = [(row, int(goals[row]) if to == HOME else self.config.places) for row, to in prefix.moves]
        return [(row * rows + column, int(prefix.at[row]) * rows + column) for row, column in columns]

    def _asked_cells(self, puzzle: np.ndarray, prefix: Prefix) -> tuple[np.ndarray, np.ndarray]:
        """The cells that the rest of a plan fills: of the puzzle, and of the puzzle that remains."""
        rows, goals = self.config.rows, self.scenes_of(puzzle[None]).goals[0]
        here = np.arange(rows)
        is_left = (goals >= 0) & (goals != here) & (prefix.states != HOME)
        left = np.flatnonzero(is_left)
        waits = np.flatnonzero(is_left & (here < self.config.places) & (prefix.at == here))
        cells = np.concatenate([left * rows + goals[left], waits * rows + self.config.places])
        sources = np.concatenate(
            [prefix.at[left] * rows + goals[left], prefix.at[waits] * rows + self.config.places]
        )
        return cells, sources

    def with_givens(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N, L) int32: the rounds of answers, and the rest of the scenes."""
        return np.where(_is_asked(inputs), answers, inputs).astype(np.int32)

    def transform(self, examples: Examples, rng: np.random.Generator) -> Examples:
        """The places in another order, and the buffers; planned again."""
        num, places = len(examples), self.config.places
        names = np.concatenate(
            [
                rng.random((num, places)).argsort(axis=1),
                places + rng.random((num, self.config.buffers)).argsort(axis=1),
            ],
            axis=1,
        )
        return self.solved(renamed(self.scenes_of(examples.inputs), names))

    def orbit_keys(self, inputs: np.ndarray) -> np.ndarray:
        """(N,) uint64: equal for a scene and its renamings."""
        return orbit_keys_of(self.scenes_of(inputs), self.config.places)

    def baseline(self, inputs: np.ndarray) -> Baseline:
        """See `kernel.greedy_plans`."""
        from sage.hrm_core.tasks.table import kernel

        scenes = self.scenes_of(inputs)
        aside, home = np.zeros_like(scenes.goals), np.zeros_like(scenes.goals)
        kernel.greedy_plans(scenes.goals, scenes.blockers, self.config.places, aside, home)
        return Baseline(name="the first object that can move", answers=self.with_plan(inputs, aside, home))

    def moves_of(self, cells: np.ndarray) -> list[tuple[int, int | None]]:
        """The moves of an answer (L,) in their order, each an object by its place and its goal, None for a
        buffer; of equal rounds moves to goals first. Cells that are no rounds are left out.
        """
        rows, places = self.config.rows, self.config.places
        found = [
            (int(cell), int(to == places), at, None if to == places else to)
            for (at, to), cell in np.ndenumerate(np.asarray(cells).reshape(rows, rows))
            if ROUND <= cell < self.spec.vocab_size
        ]
        return [(at, to) for _, _, at, to in sorted(found, key=lambda each: each[:3])]

    def encode(self, text: str) -> np.ndarray:
        """See `text`. InputError for a scene that has no plan."""
        goals, in_way = read_scene(text, self.config)
        cells = self.cells_of(Scenes(goals=goals[None], blockers=as_sets(in_way[None])))
        if self.num_moves(cells)[0] < 0:
            raise InputError(
                f"{text.strip()!r}: the objects cannot all reach their goals: give another scene"
            )
        puzzle: np.ndarray = cells[0]
        return puzzle

    def decode(self, cells: np.ndarray) -> str:
        """The scene of a puzzle, the plan of an answer."""
        moves = self.moves_of(cells)
        if moves:
            return write_plan(moves, self.config)
        scenes = self.scenes_of(np.asarray(cells)[None])
        return write_scene(scenes.goals[0], scenes.in_way[0], self.config)

    def render(self, cells: np.ndarray) -> str:
        """A line an object, or a line a move."""
        moves = self.moves_of(cells)
        if not moves:
            scenes = self.scenes_of(np.asarray(cells)[None])
            return draw_scene(scenes.goals[0], scenes.in_way[0], self.config)
        return "\n".join(
            f"{number}. {place_name(at, self.config)} to "
            + ("the buffer" if to is None else place_name(to, self.config))
            for number, (at, to) in enumerate(moves, start=1)
        )


def _relation(cells: np.ndarray, kind: int) -> np.ndarray:
    """Bool, of cells of a puzzle: whether the row's object is so related to the column's place."""
    relations = np.where((cells >= NONE) & (cells < ROUND), (cells - NONE) // NUM_RELATIONS, 0)
    found: np.ndarray = relations & kind > 0
    return found


def _is_blank(cells: np.ndarray) -> np.ndarray:
    found: np.ndarray = (cells == BLANK) | (cells == BLANK_GOAL)
    return found


def _is_asked(inputs: np.ndarray) -> np.ndarray:
    """(N, L) bool: the cells that a plan fills."""
    found: np.ndarray = _is_blank(inputs) | _relation(inputs, GOES)
    return found
