"""Continuous batching: one segment for every row, then halted rows are replaced by waiting puzzles.

Invariant: a row is computed from its own puzzle, carry and noise alone. The other rows change its result only
by the rounding of a matrix product, which depends on the batch's shape.
Shapes: B rows in progress, L cells, S tokens, D hidden.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import TokenBatch
from sage.hrm_core.model.recurrence import Carry, Output
from sage.hrm_core.solving.job import Attempt, Job
from sage.hrm_core.solving.noise import derived_seed, gaussian, puzzle_seed
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solutions import confidence_of


class Verifier(Protocol):
    """Checks answers by the rules of a task; every Task is one."""

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N,) bool for inputs and answers (N, L)."""
        ...


class SegmentModel(Protocol):
    """The interface of a model that solves puzzles: HRM, or an exported file."""

    @property
    def config(self) -> ModelConfig: ...

    def initial_carry(self, batch_size: int) -> Carry: ...

    def segment(self, carry: Carry, batch: TokenBatch) -> tuple[Carry, Output]:
        """One segment for every row, on the carry's device."""
        ...

    def wants_halt(self, output: Output) -> Tensor:
        """(B,) bool."""
        ...


@dataclass(slots=True, kw_only=True)
class _Row:
    """answer (L,) int32, None before the first, and its q: the result if the try ends now."""

    job: Job
    attempt: int
    num_segments: int = 0
    answer: np.ndarray | None = None
    q: float = -math.inf

    @property
    def is_needed(self) -> bool:
        return self.attempt in self.job.live

    @property
    def is_at_limit(self) -> bool:
        return self.num_segments >= self.job.settings.max_segments

    def is_sure(self, q: float, wants_halt: bool) -> bool:
        """Whether the Q head ends the try here."""
        settings = self.job.settings
        return settings.halt == "q" and wants_halt and bool(confidence_of(q) >= settings.min_confidence)

    def is_asked(self, q: float, is_sure: bool) -> bool:
        """Whether this segment's answer is needed; with halt 'q': the final one, or one of higher q than
        before.
        """
        if self.job.settings.halt == "q":
            return is_sure or self.answer is None or q > self.q or math.isnan(self.q)
        return self.job.settings.halt == "verifier" or self.is_at_limit


class Engine:
    """`submit` adds a puzzle at any time; `step` computes one segment and returns the jobs that it
    settled.
    """

    def __init__(
        self, model: SegmentModel, verifier: Verifier | None = None, *, batch_size: int = 64
    ) -> None:
        if not isinstance(model.config.front, TokenFront):
            raise TypeError(
                f"front is a {type(model.config.front).__name__}: only a model behind a TokenFront solves"
                " puzzles"
            )
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}: give 1 or more")
        self._model, self._verifier, self._front, self._capacity = (
            model,
            verifier,
            model.config.front,
            batch_size,
        )
        self._waiting: deque[Job] = deque()
        self._rows: list[_Row] = []
        self._carry = model.initial_carry(0)
        self._device = self._carry.z_H.device
        self._batch = self._batch_of(())
        self._num_submitted = 0

    @property
    def is_idle(self) -> bool:
        return not self._rows and not self._waiting

    @property
    def num_cells(self) -> int:
        return self._front.seq_len

    def submit(self, cells: np.ndarray, settings: SolveSettings, *, puzzle_id: int = -1) -> Job:
        """cells (L,) integers. InputError if they do not fit the model, or the settings need a verifier that
        is absent.
        """
        front, cells = self._front, np.asarray(cells)
        if cells.shape != (front.seq_len,):
            raise InputError(f"a puzzle has shape {cells.shape}: this model takes ({front.seq_len},)")
        if cells.min() < 0 or cells.max() >= front.vocab_size:
            raise InputError(
                f"cells range from {cells.min()} to {cells.max()}: this model takes 0 to"
                f" {front.vocab_size - 1}"
            )
        if puzzle_id >= front.num_puzzle_ids:
            raise InputError(
                f"puzzle_id is {puzzle_id}: this model has {front.num_puzzle_ids}: give -1 for an unknown one"
            )
        if settings.needs_verifier and self._verifier is None:
            raise InputError("there is no verifier: give the task, or halt 'q' without abstains")
        cells = cells.astype(np.int32)
        seed = puzzle_seed(cells, puzzle_id, settings.seed)
        job = Job(serial=self._num_submitted, cells=cells, puzzle_id=puzzle_id, settings=settings, seed=seed)
        self._num_submitted += 1
        self._waiting.append(job)
        return job

    def withdraw(self, job: Job) -> None:
        """Remove the job's rows; it never settles."""
        job.live.clear()
        self._waiting = deque(each for each in self._waiting if each is not job)

    @torch.inference_mode()
    def step(self) -> list[Job]:
        """One segment for up to batch_size rows. The jobs it settled, in no promised order."""
        self._rearrange()
        if not self._rows:
            return []
        self._carry, output = self._model.segment(self._with_noise(self._carry), self._batch)
        for row in self._rows:
            row.num_segments += 1
            row.job.num_segments_spent += 1
        assert output.logits is not None
        assert output.q_halt is not None
        is_sure = self._read(output.logits, output.q_halt, self._model.wants_halt(output))
        return self._end_rows(is_sure)

    def _rearrange(self) -> None:
        """Remove rows that are no longer needed and start waiting tries; tensors are copied only if rows
        changed.
        """
        remaining = [index for index, row in enumerate(self._rows) if row.is_needed]
        fresh: list[_Row] = []
        while self._waiting and len(remaining) + len(fresh) < self._capacity:
            job = self._waiting.popleft()
            if job.has_more:
                fresh.append(_Row(job=job, attempt=job.start()))
            if job.has_more:
                self._waiting.append(job)  # its next try, after the first tries of all
        if len(remaining) == len(self._rows) and not fresh:
            return
        self._rows = [self._rows[index] for index in remaining] + fresh
        taken, start = (
            torch.tensor(remaining, dtype=torch.int64, device=self._device),
            self._model.initial_carry(len(fresh)),
        )
        self._carry = Carry(
            z_H=torch.cat((self._carry.z_H[taken], start.z_H)),  # (B, S, D)
            z_L=torch.cat((self._carry.z_L[taken], start.z_L)),
        )
        self._batch = self._batch_of(self._rows)

    def _batch_of(self, rows: tuple[()] | list[_Row]) -> TokenBatch:
        cells = np.array([row.job.cells for row in rows], dtype=np.int32).reshape(
            len(rows), self._front.seq_len
        )
        inputs = torch.from_numpy(cells).to(self._device)  # (B, L)
        ids = torch.tensor(
            [row.job.puzzle_id for row in rows], dtype=torch.int32, device=self._device
        )  # (B,)
        return TokenBatch(inputs=inputs, labels=inputs, puzzle_ids=ids)

    def _with_noise(self, carry: Carry) -> Carry:
        """z + noise_std * normal in the rows of later tries; first tries stay as they are."""
        noisy = [index for index, row in enumerate(self._rows) if row.attempt]
        if not noisy:
            return carry
        rows = [self._rows[index] for index in noisy]
        seeds = [derived_seed(row.job.seed, row.attempt, row.num_segments) for row in rows]
        scale = torch.tensor([row.job.settings.noise_std for row in rows], device=self._device)[:, None]
        sizes = carry.z_H[0].numel(), carry.z_L[0].numel()
        drawn = scale * gaussian(
            torch.tensor(seeds, dtype=torch.int64, device=self._device), sum(sizes)
        )  # (K, S D + S D_L)
        at = torch.tensor(noisy, dtype=torch.int64, device=self._device)
        z_H, z_L = carry.z_H.clone(), carry.z_L.clone()
        z_H[at] += drawn[:, : sizes[0]].view(-1, *z_H.shape[1:]).to(z_H.dtype)
        z_L[at] += drawn[:, sizes[0] :].view(-1, *z_L.shape[1:]).to(z_L.dtype)
        return Carry(z_H=z_H, z_L=z_L)

    def _read(self, logits: Tensor, q_halt: Tensor, wants_halt: Tensor) -> np.ndarray:
        """Copy the needed answers to the host, into their rows. Returns (B,) bool: rows that the Q head
        ends.
        """
        q, wants = torch.stack((q_halt.float(), wants_halt.float())).cpu().numpy()  # sync: which rows halt
        is_sure = np.array(
            [row.is_sure(float(each), want > 0) for row, each, want in zip(self._rows, q, wants)]
        )
        is_asked = [row.is_asked(float(each), sure) for row, each, sure in zip(self._rows, q, is_sure)]
        asked = np.flatnonzero(is_asked)
        if len(asked):
            rows = torch.from_numpy(asked).to(self._device)
            answers = logits[rows].argmax(-1).to(torch.int32).cpu().numpy()  # sync: the answers themselves
            for index, answer in zip(asked, answers):
                self._rows[index].answer, self._rows[index].q = answer.copy(), float(q[index])
        return is_sure

    def _end_rows(self, is_sure: np.ndarray) -> list[Job]:
        """Verify the rows that end, and those that only the verifier can end. Returns the settled jobs."""
        needed = [
            (row, bool(sure) or row.is_at_limit) for row, sure in zip(self._rows, is_sure) if row.is_needed
        ]
        judged = [(row, ends) for row, ends in needed if ends or row.job.settings.halt == "verifier"]
        settled = []
        for (row, ends), is_verified in zip(judged, self._verified([row for row, _ in judged])):
            if (
                not (ends or is_verified) or not row.is_needed
            ):  # an earlier try of the same job may have settled it just now
                continue
            assert row.answer is not None
            row.job.end(
                Attempt(
                    number=row.attempt,
                    cells=row.answer,
                    q=row.q,
                    is_verified=is_verified,
                    num_segments=row.num_segments,
                )
            )
            if row.job.is_settled:
                settled.append(row.job)
        return settled

    def _verified(self, rows: list[_Row]) -> list[bool]:
        if self._verifier is None or not rows:
            return [False] * len(rows)
        cells, answers = np.array([row.job.cells for row in rows]), np.array([row.answer for row in rows])
        return [bool(each) for each in self._verifier.verify(cells, answers)]
