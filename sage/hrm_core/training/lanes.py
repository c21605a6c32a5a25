"""The rows of a batch: each row has one puzzle until it halts, then takes the next puzzle of the stream.

Invariant: rows are ordered over all ranks and lanes, and halted rows take new puzzles in that order, so that
one process with the whole batch and several processes with a part each train on the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from sage.hrm_core.config.model import TokenFront
from sage.hrm_core.model.candidates import candidates_of
from sage.hrm_core.model.hrm import HRM, ACTState, TokenBatch
from sage.hrm_core.model.recurrence import Carry
from sage.hrm_core.tasks.contract import Examples


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A micro-batch of B rows.  state: on the device.  rows, is_halted: its puzzles and halt flags on the
    host, for refilling.
    """

    state: ACTState
    rows: Examples
    is_halted: np.ndarray

    @property
    def num_halted(self) -> int:
        return int(self.is_halted.sum())

    def refilled(self, new: Examples) -> Lane:
        """Replace halted rows by `new` ones, in order; the model resets their carry in its next call."""
        arrays = {}
        for name in ("inputs", "labels", "puzzle_ids"):
            array = getattr(self.rows, name).copy()
            array[self.is_halted] = getattr(new, name)
            arrays[name] = array
        return replace(self, rows=Examples(**arrays))

    def advanced(self, state: ACTState, is_halted: np.ndarray) -> Lane:
        return replace(self, state=state, is_halted=is_halted)

    def restarted(self) -> Lane:
        """All rows halted, after a step that was not finite: every row takes a new puzzle."""
        state = replace(self.state, is_halted=torch.ones_like(self.state.is_halted))
        return replace(self, state=state, is_halted=np.ones_like(self.is_halted))

    def tensors(self) -> dict[str, Tensor]:
        """Tensors for a checkpoint; the first axis is rows."""
        state = self.state
        candidates = state.batch.candidates
        extra = {} if candidates is None else {"candidates": candidates}
        return {
            **extra,
            "z_H": state.carry.z_H,
            "z_L": state.carry.z_L,
            "num_segments": state.num_segments,
            "is_halted": state.is_halted,
            "inputs": state.batch.inputs,
            "puzzles": torch.from_numpy(self.rows.inputs.copy()),
            "labels": state.batch.labels,
            "puzzle_ids": state.batch.puzzle_ids,
        }

    @classmethod
    def of_tensors(cls, tensors: dict[str, Tensor], device: torch.device) -> Lane:
        on_device = {name: tensor.to(device) for name, tensor in tensors.items()}
        batch = TokenBatch(
            inputs=on_device["inputs"],
            labels=on_device["labels"],
            puzzle_ids=on_device["puzzle_ids"],
            candidates=on_device.get("candidates"),
        )
        state = ACTState(
            carry=Carry(z_H=on_device["z_H"], z_L=on_device["z_L"]),
            batch=batch,
            num_segments=on_device["num_segments"],
            is_halted=on_device["is_halted"],
        )
        rows = {name: tensors[name].cpu().numpy().copy() for name in ("inputs", "labels", "puzzle_ids")}
        if "puzzles" in tensors:  # inputs before cells were filled in (training.guesses)
            rows["inputs"] = tensors["puzzles"].cpu().numpy().copy()
        return cls(state=state, rows=Examples(**rows), is_halted=tensors["is_halted"].cpu().numpy().copy())

    @classmethod
    def empty(cls, model: HRM, num_rows: int, seq_len: int, device: torch.device) -> Lane:
        """A lane with all rows halted: the first step fills them."""
        rows = Examples(
            inputs=np.zeros((num_rows, seq_len), dtype=np.int32),
            labels=np.zeros((num_rows, seq_len), dtype=np.int32),
            puzzle_ids=np.zeros(num_rows, dtype=np.int32),
        )
        batch = to_batch(rows, device)
        if model.config.heads == "deduction":
            assert isinstance(model.config.front, TokenFront)
            batch = replace(batch, candidates=candidates_of(batch.inputs, model.config.front))
        state = model.initial_state(batch)
        return cls(state=state, rows=rows, is_halted=np.ones(num_rows, dtype=bool))


def to_batch(rows: Examples, device: torch.device) -> TokenBatch:
    """The rows as tensors (int32) on the device. Always a copy, also on the CPU, so the source array may
    change.
    """
    arrays = [
        torch.from_numpy(np.array(array, dtype=np.int32))
        for array in (rows.inputs, rows.labels, rows.puzzle_ids)
    ]
    if device.type == "cuda":
        arrays = [array.pin_memory().to(device, non_blocking=True) for array in arrays]
    inputs, labels, puzzle_ids = (array.to(device) for array in arrays)
    return TokenBatch(inputs=inputs, labels=labels, puzzle_ids=puzzle_ids)


def split_rows(rows: Examples, counts: Sequence[int]) -> list[Examples]:
    """Consecutive parts of `counts` rows each."""
    edges = np.cumsum([0, *counts]).tolist()
    return [rows.take(slice(start, end)) for start, end in pairwise(edges)]
