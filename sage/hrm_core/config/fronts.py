"""The front end of a reasoning model: puzzles, continuous sequences, or the sensors of a loop. Imports no
torch.

Invariant: a front that exists can be built; an invalid one raises InputError with the field's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from sage.errors import InputError

MAX_COUNT = 2**31 - 1

Positions = Literal["rope", "learned", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFront:
    """Puzzles: `seq_len` cells of `vocab_size` symbols, behind `puzzle_tokens` positions for the puzzle's own
    embedding.

    With mixer attention seq_len is the longest sequence; the other mixers take exactly seq_len.
    puzzle_tokens 0 with a puzzle embedding adds it to every cell: for mixers without puzzle tokens.
    positions: rope turns the heads of attention (an MLP over the sequence has none, and needs no positions);
    learned are added to the cells.
    alike_from: symbols >= alike_from are interchangeable, as sudoku's digits are: a cell becomes one token
    for each of them, and all of them share their weights (after SE-RRM, arXiv 2603.02193).
    """

    vocab_size: int
    seq_len: int
    num_puzzle_ids: int = 0
    puzzle_emb_ndim: int = 0
    puzzle_tokens: int = 0
    positions: Positions = "rope"
    alike_from: int | None = None

    def __post_init__(self) -> None:
        for name in ("vocab_size", "seq_len"):
            need_count(getattr(self, name), name)
        for name in ("num_puzzle_ids", "puzzle_emb_ndim", "puzzle_tokens"):
            need_count(getattr(self, name), name, least=0)
        need_one_of(self.positions, get_args(Positions), "positions")
        has_embedding = self.puzzle_emb_ndim > 0
        hint = "puzzle_emb_ndim and num_puzzle_ids are both 0 or both above 0"
        need(has_embedding == (self.num_puzzle_ids > 0), "num_puzzle_ids", self.num_puzzle_ids, hint)
        hint = "puzzle tokens need puzzle_emb_ndim and num_puzzle_ids"
        need(has_embedding or not self.puzzle_tokens, "puzzle_tokens", self.puzzle_tokens, hint)
        if self.alike_from is not None:
            is_met = type(self.alike_from) is int and 1 <= self.alike_from < self.vocab_size
            need(is_met, "alike_from", self.alike_from, f"give a symbol from 1 to {self.vocab_size - 1}")
            need(
                not self.puzzle_tokens,
                "alike_from",
                self.alike_from,
                "puzzle tokens exclude interchangeable symbols: leave one out",
            )

    @property
    def tokens_per_cell(self) -> int:
        """1, or the number of interchangeable symbols."""
        return 1 if self.alike_from is None else self.vocab_size - self.alike_from

    @property
    def num_tokens(self) -> int:
        """S: puzzle tokens, then cells."""
        return self.num_tokens_of(self.seq_len)

    def num_tokens_of(self, num_cells: int) -> int:
        """S of a puzzle of so many cells."""
        return self.puzzle_tokens + num_cells * self.tokens_per_cell


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuousFront:
    """Sequences of real vectors: (B, S, input_dim) in, (B, S, output_dim) out, S up to `seq_len`.

    The outputs are logits of classes or plain numbers, as the loss takes them.
    """

    input_dim: int
    output_dim: int
    seq_len: int = 1024
    positions: Positions = "rope"

    def __post_init__(self) -> None:
        for name in ("input_dim", "output_dim", "seq_len"):
            need_count(getattr(self, name), name)
        need_one_of(self.positions, get_args(Positions), "positions")

    @property
    def puzzle_tokens(self) -> int:
        return 0

    @property
    def num_tokens(self) -> int:
        return self.seq_len

    def num_tokens_of(self, num_cells: int) -> int:
        """S of a sequence of so many vectors."""
        return num_cells


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationFront:
    """Sensors: source i delivers `source_dims[i]` channels; the model proposes `num_actions` numbers in -1..1
    (0: none).

    choices: (first, stop) of each group of actions of which one is chosen; no two overlap.
    num_worlds: whose rewards are predicted apart, a value for each.  source_worlds, action_worlds: of each
    source and action the world, from 0, or -1: of none, and so of all; empty with a single world.
    """

    source_dims: tuple[int, ...]
    num_actions: int = 0
    choices: tuple[tuple[int, int], ...] = ()
    num_worlds: int = 1
    source_worlds: tuple[int, ...] = ()
    action_worlds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        is_valid = len(self.source_dims) > 0 and all(size >= 1 for size in self.source_dims)
        need(is_valid, "source_dims", self.source_dims, "give one size for each source, each 1 or more")
        need(self.num_actions >= 0, "num_actions", self.num_actions, "give 0 or more")
        ends = [0, *(end for group in self.choices for end in group), self.num_actions]
        is_valid = ends == sorted(ends) and all(stop - first >= 2 for first, stop in self.choices)
        need(
            is_valid, "choices", self.choices, "give (first, stop) of each group, in order, 2 or more actions"
        )
        need_count(self.num_worlds, "num_worlds")
        for name, num in (("source_worlds", len(self.source_dims)), ("action_worlds", self.num_actions)):
            found = getattr(self, name)
            is_valid = len(found) == (num if self.num_worlds > 1 else 0)
            is_valid = is_valid and all(-1 <= world < self.num_worlds for world in found)
            hint = f"give {num} numbers, -1 to {self.num_worlds - 1}; none with a single world"
            need(is_valid, name, found, hint)
        hint = "give at least one source a world"
        need(len(self.worlds_of_sources) > 0, "source_worlds", self.source_worlds, hint)

    @property
    def worlds_of_sources(self) -> list[int]:
        """The worlds that have sources, in order; the single one also without."""
        return [0] if self.num_worlds == 1 else sorted({world for world in self.source_worlds if world >= 0})

    @property
    def num_sources(self) -> int:
        return len(self.source_dims)

    @property
    def num_channels(self) -> int:
        return sum(self.source_dims)

    @property
    def num_tokens(self) -> int:
        """S: sources, then the readout and the register."""
        return len(self.source_dims) + 2


Front = TokenFront | ContinuousFront | ObservationFront


def need(is_met: bool, name: str, value: object, remedy: str) -> None:
    """InputError in one line: the field, its value, what to give instead."""
    if not is_met:
        raise InputError(f"{name} is {value!r}: {remedy}")


def need_count(value: object, name: str, *, least: int = 1) -> None:
    """InputError unless `value` is an integer from `least` to the largest size of one dimension."""
    is_met = isinstance(value, int) and not isinstance(value, bool) and least <= value <= MAX_COUNT
    need(is_met, name, value, f"give a whole number from {least} to {MAX_COUNT}")


def need_one_of(value: object, choices: tuple[object, ...], name: str) -> None:
    need(value in choices, name, value, f"give one of {', '.join(map(str, choices))}")
