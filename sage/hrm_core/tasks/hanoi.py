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

    def may_extend(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """(N,) bool. partial: the first moves of a plan, from the first cell of moves on, then blanks; also
        where an answer ends in the last cell. Moves are legal, and no state is met twice.
        """
        return np.array([self._state_after(*rows) is not None for rows in zip(inputs, partial)], bool)

    def next_choices(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """The legal moves to a new state; none at the goal, or where the moves asked for are all there."""
        first, pegs = self.config.disks + 1, self._known_state(inputs, partial)
        num_made = self._num_made(partial)
        if num_made == self.config.num_moves or set(pegs) == {int(inputs[first - 1]) - PEG}:
            return np.zeros((0, 2), np.int32)
        steps = np.array([(first + num_made, MOVE + move) for move in range(len(NAMES))], np.int32)
        longer = np.repeat(partial[None], len(steps), axis=0)
        longer[np.arange(len(steps)), steps[:, 0]] = steps[:, 1]
        allowed: np.ndarray = steps[self.may_extend(np.broadcast_to(inputs, longer.shape), longer)]
        return allowed

    def as_inputs(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """The state after the moves, as a puzzle. InputError where may_extend is False."""
        rest = np.array(inputs, np.int32)
        for row, puzzle, moves in zip(rest, inputs, partial):
            row[: self.config.disks] = [PEG + peg for peg in self._known_state(puzzle, moves)]
        return rest

    def complete(self, inputs: np.ndarray, partial: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """The moves of partial, then the answer's: of a whole plan in front of its first move, of first moves
        in front of them all.
        """
        whole, first = np.array(inputs, np.int32), self.config.disks + 1
        for row, moves, answer in zip(whole, partial[:, first:], answers[:, first:].tolist()):
            made = moves[moves != BLANK].tolist()
            if self.config.ends_together:
                num_done = next((at for at, cell in enumerate(answer) if cell != DONE), len(answer))
                start = max(0, num_done - len(made))
                row[first:] = [*answer[:start], *made, *answer[start + len(made) :]]
            else:
                row[first:] = [*made, *answer][: self.config.num_moves]
        return whole

    def choice_log_probs(self, inputs: np.ndarray, partial: np.ndarray, log_probs: np.ndarray) -> np.ndarray:
        """A move's log-probability in the first blank cell of partial: of first moves that in the first cell;
        of a whole plan that of being its first move, wherever the plan begins: the sum over cells of the
        probability that all cells before are done and this cell is the move.
        """
        found, first = np.array(log_probs, np.float64), self.config.disks + 1
        moves = found[:, first:, MOVE : MOVE + len(NAMES)]  # (N, moves, 6)
        if self.config.ends_together:
            done = np.cumsum(found[:, first:-1, DONE], axis=1)
            done = np.pad(done, ((0, 0), (1, 0)))  # (N, moves) of all cells before
            begins = np.logaddexp.reduce(done[:, :, None] + moves, axis=1)  # (N, 6)
        else:
            begins = moves[:, 0].copy()
        cells = first + np.minimum((partial[:, first:] != BLANK).sum(axis=1), self.config.num_moves - 1)
        found[np.arange(len(found)), cells, MOVE : MOVE + len(NAMES)] = begins
        return found

    def _num_made(self, partial: np.ndarray) -> int:
        return int((partial[self.config.disks + 1 :] != BLANK).sum())

    def _known_state(self, puzzle: np.ndarray, partial: np.ndarray) -> list[int]:
        pegs = self._state_after(puzzle, partial)
        if pegs is None:
            raise InputError("a partial answer's moves break a rule: give one that may_extend accepts")
        return pegs

    def _state_after(self, puzzle: np.ndarray, partial: np.ndarray) -> list[int] | None:
        """The disks' pegs after the moves of partial; None where they break a rule."""
        first, num_made = self.config.disks + 1, self._num_made(partial)
        moves = partial[first:].tolist()
        if (puzzle[:first] != partial[:first]).any() or BLANK in moves[:num_made]:
            return None
        pegs = [int(cell) - PEG for cell in puzzle[: first - 1]]
        states = {tuple(pegs)}
        for move in moves[:num_made]:
            is_legal = 0 <= move - MOVE < len(NAMES) and set(pegs) != {int(puzzle[first - 1]) - PEG}
            if not is_legal or not _apply(pegs, NAMES[move - MOVE]) or tuple(pegs) in states:
                return None
            states.add(tuple(pegs))
        return pegs

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
