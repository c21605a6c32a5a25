"""ARC as a task: each augmented form of each puzzle has its own puzzle id, and answers are voted over forms.

Invariant: training uses all pairs of training puzzles and the demonstrations of evaluation puzzles, never the
tests of evaluation puzzles.
Puzzle id: 1 + (number of the puzzle) * (num_aug + 1) + (number of the form); form 0 is the puzzle itself and
id 0 is the blank identifier.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.arc.grid import (
    BOARD,
    COLOUR,
    NUM_COLOURS,
    Augmentation,
    answer_grid,
    board,
    grid_of,
    orbit_form,
    random_augmentation,
    room,
)
from sage.hrm_core.tasks.arc.source import Pair, load_arc, without_leaks
from sage.hrm_core.tasks.arc.text import decode_grid, encode_grid, render_grid
from sage.hrm_core.tasks.arc.voting import Vote, best_attempts
from sage.hrm_core.tasks.contract import IGNORED, Baseline, Examples, TaskSpec

#: Augmented forms of one puzzle, at most.
MOST_FORMS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcConfig:
    """train, evaluate: arc1, arc2 or a folder.  more: further folders to train on, such as ConceptARC's
    corpus.  num_aug: augmented forms of each puzzle.  seed: random seed of the forms.
    """

    train: str = "arc1"
    evaluate: str = "arc1"
    more: tuple[str, ...] = ()
    num_aug: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.num_aug <= MOST_FORMS:
            raise InputError(f"num_aug is {self.num_aug}: give 0 to {MOST_FORMS:,}")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}: give 0 or more")


class ArcTask:
    """Forms are computed on demand; equal seeds give equal forms."""

    def __init__(self, config: ArcConfig | None = None) -> None:
        self.config = config or ArcConfig()
        training = [
            load_arc(self.config.train, "training"),
            *(load_arc(each, "training") for each in self.config.more),
        ]
        self.evaluation = load_arc(self.config.evaluate, "evaluation")
        self.training = without_leaks(tuple(puzzle for part in training for puzzle in part), self.evaluation)
        whole = [(puzzle, puzzle.demonstrations + puzzle.tests) for puzzle in self.training]
        self._groups = tuple(whole + [(puzzle, puzzle.demonstrations) for puzzle in self.evaluation])
        self._pair_ends = np.cumsum([len(pairs) for _, pairs in self._groups])

    @property
    def spec(self) -> TaskSpec:
        num_ids = 1 + len(self._groups) * (self.config.num_aug + 1)
        return TaskSpec(
            name="arc",
            vocab_size=COLOUR + NUM_COLOURS,
            seq_len=BOARD**2,
            grid=(BOARD, BOARD),
            num_puzzle_ids=num_ids,
        )

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        """Random pairs, all equally often as by the published loaders, in random forms of their puzzle, at
        random positions on the board.
        """
        rows = []
        for index in rng.integers(0, self._pair_ends[-1], size=num).tolist():
            number = int(np.searchsorted(self._pair_ends, index, side="right"))
            form = int(rng.integers(0, self.config.num_aug + 1))
            pairs = self._groups[number][1]
            pair = self._formed(pairs[index - int(self._pair_ends[number])], number, form)
            down, right = (int(rng.integers(0, free + 1)) for free in room(pair.input, pair.output))
            rows.append(
                (
                    board(pair.input, down, right),
                    board(pair.output, down, right),
                    self.puzzle_id(number, form),
                )
            )
        return _examples(rows)

    def held_out(self, num: int) -> Examples:
        """The tests of the evaluation puzzles, in form 0."""
        return self.forms_of_tests(1, num=num)

    def forms_of_tests(self, num_forms: int, *, num: int | None = None) -> Examples:
        """Every test of the evaluation set in its first `num_forms` forms, ordered by test, then form."""
        rows = []
        for number, _, pair in self._tests():
            for form in range(num_forms):
                formed = self._formed(pair, number, form)
                rows.append((board(formed.input), board(formed.output), self.puzzle_id(number, form)))
            if num is not None and len(rows) >= num:
                break
        return _examples(rows[:num])

    def attempts(
        self, answers: np.ndarray, q: np.ndarray, num_forms: int
    ) -> dict[tuple[str, int], list[np.ndarray]]:
        """The two best grids of each test; answers (N, 900) and q_halt logits q (N,) are in the order of
        `forms_of_tests(num_forms)`.
        """
        sources = [(number, test, form) for number, test, _ in self._tests() for form in range(num_forms)]
        if len(sources) != len(answers):
            raise InputError(
                f"{len(answers)} answers to {len(sources)} forms of tests: answer forms_of_tests({num_forms})"
            )
        return best_attempts(
            Vote(
                puzzle=self._groups[number][0].name,
                test=test,
                augmentation=self.form(number, form),
                cells=cells,
                q=float(each),
            )
            for (number, test, form), cells, each in zip(sources, answers, q)
        )

    def _tests(self) -> Iterator[tuple[int, int, Pair]]:
        for number, puzzle in enumerate(self.evaluation, start=len(self.training)):
            for test, pair in enumerate(puzzle.tests):
                yield number, test, pair

    def puzzle_id(self, number: int, form: int) -> int:
        return 1 + number * (self.config.num_aug + 1) + form

    def form(self, number: int, form: int) -> Augmentation:
        """The augmentation that makes form `form` of puzzle `number`."""
        if not 0 <= form <= self.config.num_aug:
            raise InputError(f"form {form}: give 0 to {self.config.num_aug}")
        return _form(self.config.seed, number, form)

    def _formed(self, pair: Pair, number: int, form: int) -> Pair:
        augmentation = self.form(number, form)
        return Pair(input=augmentation.applied(pair.input), output=augmentation.applied(pair.output))

    def transform(self, examples: Examples, rng: np.random.Generator) -> Examples:
        """The same pairs at random positions. Other augmentations would change the puzzle id."""
        rows = []
        for inputs, labels, puzzle_id in zip(examples.inputs, examples.labels, examples.puzzle_ids):
            left, right = grid_of(inputs), grid_of(labels)
            at = [int(rng.integers(0, free + 1)) for free in room(left, right)]
            rows.append((board(left, *at), board(right, *at), int(puzzle_id)))
        return _examples(rows)

    @cached_property
    def _known(self) -> frozenset[bytes]:
        tests = [pair for puzzle in self.evaluation for pair in puzzle.tests]
        return frozenset(
            orbit_form(pair.input, pair.output)
            for pair in (*tests, *(pair for _, pairs in self._groups for pair in pairs))
        )

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N,) bool: True where input and answer are a known pair in any form. Of an answer the grid counts,
        not the cells around it.
        """
        pairs = [(grid_of(left), answer_grid(left, right)) for left, right in zip(inputs, answers)]
        return np.array([orbit_form(*pair) in self._known for pair in pairs], bool)

    def baseline(self, inputs: np.ndarray) -> Baseline:
        return Baseline(name="copy the input", answers=np.array(inputs, np.int32))

    def encode(self, text: str) -> np.ndarray:
        """Lines of digits 0..9."""
        return encode_grid(text)

    def decode(self, cells: np.ndarray) -> str:
        return decode_grid(cells)

    def render(self, cells: np.ndarray) -> str:
        return render_grid(cells)


@lru_cache(maxsize=1 << 18)
def _form(seed: int, number: int, form: int) -> Augmentation:
    return random_augmentation(np.random.default_rng((seed, number, form))) if form else Augmentation()


def _examples(rows: list[tuple[np.ndarray, np.ndarray, int]]) -> Examples:
    """Cells whose label is padding are ignored, as in the published recipe."""
    shape = (len(rows), BOARD**2)
    inputs = np.array([row[0] for row in rows], np.int32).reshape(shape)
    labels = np.array([row[1] for row in rows], np.int32).reshape(shape)
    ids = np.array([row[2] for row in rows], np.int32)
    return Examples(
        inputs=inputs, labels=np.where(labels == 0, IGNORED, labels).astype(np.int32), puzzle_ids=ids
    )
