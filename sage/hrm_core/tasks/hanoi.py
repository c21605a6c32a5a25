"""The towers of Hanoi: from any legal state to all disks on one peg, by the shortest plan or its first moves.

Invariant: the shortest plan is unique, so labels are; every state with every goal is there once, split by its
key.
Cells: 0 pad (unused), 1 blank, 2 done, 3..5 pegs A..C, 6..11 moves AB AC BA BC CA CB. A row is the disks'
pegs from the smallest, the goal's peg, and the moves. A whole plan ends in the last cell, after as many
"done" as it is shorter than the
longest one: counted from the end, a cell always moves the same disk. First moves begin in the first cell,
"done" behind them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import Baseline, Examples, TaskSpec
from sage.hrm_core.tasks.split import HELD_OUT_SEED, are_held_out, row_keys, without_ids

BLANK, DONE, PEG, MOVE = 1, 2, 3, 6
NAMES = ("AB", "AC", "BA", "BC", "CA", "CB")
#: There are at most 2,187 puzzles, so more of them are kept for evaluation than elsewhere.
HELD_OUT_EVERY = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class HanoiConfig:
    """disks: 3 to 6.  horizon: how many moves are asked for; None: the whole plan."""

    disks: int = 4
    horizon: int | None = None

    def __post_init__(self) -> None:
        if not 3 <= self.disks <= 6:
            raise InputError(f"disks is {self.disks}: give 3 to 6")
        if not 1 <= self.num_moves <= 2**self.disks - 1:
            raise InputError(
                f"horizon is {self.horizon}: give 1 to {2**self.disks - 1}, the longest plan of {self.disks}"
                " disks"
            )

    @property
    def ends_together(self) -> bool:
        """Is it whole plans that are asked for, each with its last move in the last cell?"""
        return self.horizon is None

    @property
    def num_moves(self) -> int:
        return 2**self.disks - 1 if self.horizon is None else self.horizon


class HanoiTask:
    """All states but the solved ones, as puzzles."""

    def __init__(self, config: HanoiConfig | None = None) -> None:
        self.config = config or HanoiConfig()

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(
            name="hanoi", vocab_size=MOVE + len(NAMES), seq_len=self.config.disks + 1 + self.config.num_moves
        )

    @cached_property
    def _sides(self) -> tuple[Examples, Examples]:
        rows = []
        for pegs in product(range(3), repeat=self.config.disks):
            rows += [(pegs, goal) for goal in range(3) if set(pegs) != {goal}]
        labels = np.array([self._row(list(pegs), goal) for pegs, goal in rows], np.int32)
        inputs = labels.copy()
        inputs[:, self.config.disks + 1 :] = BLANK
        is_held_out = are_held_out(row_keys(inputs), HELD_OUT_EVERY)
        order = np.random.default_rng(HELD_OUT_SEED).permutation(int(is_held_out.sum()))
        whole = without_ids(inputs, labels)
        return whole.take(~is_held_out), whole.take(is_held_out).take(order)

    def _row(self, pegs: list[int], goal: int) -> list[int]:
        moves = [MOVE + NAMES.index(name) for name in plan(pegs, goal)[: self.config.num_moves]]
        return [PEG + peg for peg in pegs] + [PEG + goal, *self._padded(moves, DONE)]

    def _padded(self, moves: list[int], cell: int) -> list[int]:
        """To the number of moves asked for, with `cell` where a shorter plan has none."""
        rest = [cell] * (self.config.num_moves - len(moves))
        return rest + moves if self.config.ends_together else moves + rest

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        train = self._sides[0]
        return train.take(rng.integers(0, len(train), size=num))

    def held_out(self, num: int) -> Examples:
        return self._sides[1].take(slice(num))

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """The shortest plan's moves, and done in the cells that it leaves over."""
        return self.scores(without_ids(inputs, inputs), answers)["optimal"] > 0

    def scores(self, examples: Examples, answers: np.ndarray) -> dict[str, np.ndarray]:
        """optimal: as verified.  legal: no larger disk upon a smaller.  reaches_goal: legal, and all are
        there in the end.
        """
        rows = [
            self._judge(puzzle.tolist(), answer.tolist()) for puzzle, answer in zip(examples.inputs, answers)
        ]
        columns = np.array(rows, np.float64).reshape(len(rows), 3)
        return dict(zip(("optimal", "legal", "reaches_goal"), columns.T))

    def _judge(self, puzzle: list[int], answer: list[int]) -> tuple[bool, bool, bool]:
        num_disks = self.config.disks
        pegs, goal = [cell - PEG for cell in puzzle[:num_disks]], puzzle[num_disks] - PEG
        moves = answer[num_disks + 1 :]
        optimal = (
            self._row(pegs, goal)[num_disks + 1 :] == moves
            and answer[: num_disks + 1] == puzzle[: num_disks + 1]
        )
        played = [move for move in moves if move != DONE]
        is_legal = self._padded(played, DONE) == moves and all(
            0 <= move - MOVE < len(NAMES) and _apply(pegs, NAMES[move - MOVE]) for move in played
        )
        return optimal, is_legal, is_legal and set(pegs) == {goal}

    def baseline(self, inputs: np.ndarray) -> Baseline:
        """Lift the smallest disk that is not at the goal to the goal, then say done."""
        answers = np.array(inputs, np.int32)
        for row in answers:
            pegs, goal = row[: self.config.disks] - PEG, int(row[self.config.disks]) - PEG
            first = next((int(peg) for peg in pegs if peg != goal), goal)
            moves = [MOVE + NAMES.index("ABC"[first] + "ABC"[goal])] if first != goal else []
            row[self.config.disks + 1 :] = self._padded(moves, DONE)
        return Baseline(name="the smallest disk to the goal", answers=answers)

    def encode(self, text: str) -> np.ndarray:
        """The disks' pegs from the smallest, then the goal: "AACB > C". Moves may follow: "AACB > C: AB BC",
        of a whole plan the last ones."""
        state, _, moves = text.upper().partition(":")
        pegs, _, goal = (part.strip() for part in state.partition(">"))
        if len(pegs) != self.config.disks or len(goal) != 1 or not set(pegs + goal) <= set("ABC"):
            example = "A" * self.config.disks
            raise InputError(
                f"{text!r}: give {self.config.disks} pegs from the smallest disk and a goal, such as"
                f" '{example} > C'"
            )
        names = moves.split()
        wrong = [name for name in names if name not in NAMES and name != "-"]
        if wrong or len(names) > self.config.num_moves:
            raise InputError(
                f"moves {moves.strip()!r}: give at most {self.config.num_moves} of {', '.join(NAMES)}, '-'"
                " for done"
            )
        symbols = [DONE if name == "-" else MOVE + NAMES.index(name) for name in names]
        return np.array(
            [PEG + "ABC".index(peg) for peg in pegs + goal] + self._padded(symbols, BLANK), np.int32
        )

    def decode(self, cells: np.ndarray) -> str:
        pegs = "".join(
            "ABC"[cell - PEG] if PEG <= cell < MOVE else "?"
            for cell in cells[: self.config.disks + 1].tolist()
        )
        symbols = [cell for cell in cells[self.config.disks + 1 :].tolist() if cell != BLANK]
        moves = " ".join(
            "-" if cell == DONE else NAMES[cell - MOVE] if cell >= MOVE else "?" for cell in symbols
        )
        return f"{pegs[:-1]} > {pegs[-1]}" + (f": {moves}" if moves else "")

    def render(self, cells: np.ndarray) -> str:
        """Three pegs, the largest disk lowest, then the moves."""
        text = self.decode(cells)
        pegs = text[: self.config.disks]
        towers = [
            "".join(str(disk + 1) for disk in reversed(range(len(pegs))) if pegs[disk] == name)
            for name in "ABC"
        ]
        return "\n".join(
            [*(f"{name} |{tower}" for name, tower in zip("ABC", towers)), text[self.config.disks + 1 :]]
        )


def plan(pegs: list[int], goal: int) -> list[str]:
    """The shortest plan: the largest disk that is astray goes to the goal, the smaller ones wait on the third
    peg.
    """
    moves: list[str] = []
    for disk in reversed(range(len(pegs))):
        if pegs[disk] != goal:
            spare = 3 - pegs[disk] - goal
            moves += plan(pegs[:disk], spare)
            moves.append("ABC"[pegs[disk]] + "ABC"[goal])
            return moves + plan([spare] * disk, goal)
    return moves


def _apply(pegs: list[int], name: str) -> bool:
    """Move in place; False if the move is against the rules."""
    source, target = "ABC".index(name[0]), "ABC".index(name[1])
    disk = pegs.index(source) if source in pegs else len(pegs)
    if disk == len(pegs) or target in pegs[:disk]:
        return False
    pegs[disk] = target
    return True
