"""Continuous batching: one segment for every row under way, then rows that are done make place for those that wait.

Invariant: a row is computed from its own puzzle, carry and noise alone, so that its neighbours only change the speed.
Shapes: B rows under way, L cells, S tokens, D hidden.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sage.hrm_core.config import ModelConfig, TokenFront
from sage.hrm_core.hrm import TokenBatch
from sage.hrm_core.recurrence import Carry, Output
from sage.hrm_core.solving.job import Attempt, Job
from sage.hrm_core.solving.noise import derived_seed, gaussian, puzzle_seed
from sage.hrm_core.solving.settings import SolveSettings


class Verifier(Protocol):
    """Whoever knows the rules; every Task does."""

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N,) bool for inputs and answers (N, L)."""
        ...


class SegmentModel(Protocol):
    """What is asked of a model: HRM is one, an exported file another."""

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
    """standing: what the try would answer if it ended now."""

    job: Job
    attempt: int
    num_segments: int = 0
    standing: Attempt | None = None

    @property
    def is_needed(self) -> bool:
        return self.attempt in self.job.live

    @property
    def is_at_limit(self) -> bool:
        return self.num_segments >= self.job.settings.max_segments

    def is_asked(self, q: float) -> bool:
        """Does the answer of this segment matter? Where the Q head judges, it does if the head trusts none before it as much."""
        halt = self.job.settings.halt
        if halt == "q":
            return self.standing is None or q > self.standing.q
        return halt == "verifier" or self.is_at_limit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """A segment's outcome on the host: q, is_sure (does the Q head end it?), answers (B, L) int32, is_verified (B,).

    Where is_asked (B,) is false nobody asked for the answer, and its row holds nothing."""

    q: np.ndarray
    is_sure: np.ndarray
    is_asked: np.ndarray
    answers: np.ndarray
    is_verified: np.ndarray


class Engine:
    """Puzzles go in with `submit`, at any time; `step` computes a segment and gives back the jobs it settled."""

    def __init__(self, model: SegmentModel, verifier: Verifier | None = None, *, batch_size: int = 64) -> None:
        if not isinstance(model.config.front, TokenFront):
            raise TypeError(f"front is a {type(model.config.front).__name__}: only a model behind a TokenFront solves puzzles")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: give 1 or more")
        self._model, self._verifier, self._front, self._capacity = model, verifier, model.config.front, batch_size
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
        """cells (L,) integers. ValueError where they do not fit the model, or a verifier is asked for and there is none."""
        front, cells = self._front, np.asarray(cells)
        if cells.shape != (front.seq_len,):
            raise ValueError(f"a puzzle has shape {cells.shape}: this model takes ({front.seq_len},)")
        if cells.min() < 0 or cells.max() >= front.vocab_size:
            raise ValueError(f"cells range from {cells.min()} to {cells.max()}: this model knows 0 to {front.vocab_size - 1}")
        if puzzle_id >= front.num_puzzle_ids:
            raise ValueError(f"puzzle_id is {puzzle_id}: this model knows {front.num_puzzle_ids}: give -1 for an unknown one")
        if settings.needs_verifier and self._verifier is None:
            raise ValueError("there is no verifier: give the task, or halt 'q' without abstains")
        cells = cells.astype(np.int32)
        seed = puzzle_seed(cells, puzzle_id, settings.seed)
        job = Job(serial=self._num_submitted, cells=cells, puzzle_id=puzzle_id, settings=settings, seed=seed)
        self._num_submitted += 1
        self._waiting.append(job)
        return job

    def withdraw(self, job: Job) -> None:
        """Nobody waits for it any more: its rows go, and it never settles."""
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
        reading = self._read(output.logits, output.q_halt, self._model.wants_halt(output))
        return self._end_rows(reading)

    def _rearrange(self) -> None:
        """Rows that nobody needs go, waiting tries come. What stays is moved only where something changed."""
        kept = [index for index, row in enumerate(self._rows) if row.is_needed]
        fresh: list[_Row] = []
        while self._waiting and len(kept) + len(fresh) < self._capacity:
            job = self._waiting.popleft()
            if job.has_more:
                fresh.append(_Row(job=job, attempt=job.start()))
            if job.has_more:
                self._waiting.append(job)  # its next try, behind everybody's first
        if len(kept) == len(self._rows) and not fresh:
            return
        self._rows = [self._rows[index] for index in kept] + fresh
        taken, start = torch.tensor(kept, dtype=torch.int64, device=self._device), self._model.initial_carry(len(fresh))
        self._carry = Carry(
            z_H=torch.cat((self._carry.z_H[taken], start.z_H)),  # (B, S, D)
            z_L=torch.cat((self._carry.z_L[taken], start.z_L)),
        )
        self._batch = self._batch_of(self._rows)

    def _batch_of(self, rows: tuple[()] | list[_Row]) -> TokenBatch:
        cells = np.array([row.job.cells for row in rows], dtype=np.int32).reshape(len(rows), self._front.seq_len)
        inputs = torch.from_numpy(cells).to(self._device)  # (B, L)
        ids = torch.tensor([row.job.puzzle_id for row in rows], dtype=torch.int32, device=self._device)  # (B,)
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
        drawn = scale * gaussian(torch.tensor(seeds, dtype=torch.int64, device=self._device), sum(sizes))  # (K, S D + S D_L)
        at = torch.tensor(noisy, dtype=torch.int64, device=self._device)
        z_H, z_L = carry.z_H.clone(), carry.z_L.clone()
        z_H[at] += drawn[:, : sizes[0]].view(-1, *z_H.shape[1:]).to(z_H.dtype)
        z_L[at] += drawn[:, sizes[0] :].view(-1, *z_L.shape[1:]).to(z_L.dtype)
        return Carry(z_H=z_H, z_L=z_L)

    def _read(self, logits: Tensor, q_halt: Tensor, wants_halt: Tensor) -> _Reading:
        """Brings to the host what decides; answers only of the rows somebody judges."""
        q, wants = torch.stack((q_halt.float(), wants_halt.float())).cpu().numpy()  # sync: which rows halt
        least = np.array([row.job.settings.min_confidence for row in self._rows])
        is_sure = (wants > 0) & (1.0 / (1.0 + np.exp(-q.astype(np.float64))) >= least)
        is_asked = np.array([row.is_asked(float(each)) for row, each in zip(self._rows, q)])
        answers = np.zeros((len(self._rows), self._front.seq_len), np.int32)
        is_verified = np.zeros(len(self._rows), bool)
        if is_asked.any():
            asked = torch.from_numpy(is_asked.nonzero()[0]).to(self._device)
            answers[is_asked] = logits[asked].argmax(-1).to(torch.int32).cpu().numpy()  # sync: the answers themselves
            if self._verifier is not None:
                cells = np.array([row.job.cells for row, asked in zip(self._rows, is_asked) if asked])
                is_verified[is_asked] = self._verifier.verify(cells, answers[is_asked])
        return _Reading(q=q, is_sure=is_sure, is_asked=is_asked, answers=answers, is_verified=is_verified)

    def _end_rows(self, reading: _Reading) -> list[Job]:
        settled = []
        for index, row in enumerate(self._rows):
            if not row.is_needed:
                continue
            if reading.is_asked[index]:
                row.standing = Attempt(
                    number=row.attempt,
                    cells=reading.answers[index].copy(),
                    q=float(reading.q[index]),
                    is_verified=bool(reading.is_verified[index]),
                    num_segments=row.num_segments,
                )
            ends = {"q": reading.is_sure, "verifier": reading.is_verified}.get(row.job.settings.halt)
            if row.is_at_limit or (ends is not None and ends[index]):
                assert row.standing is not None
                row.job.end(replace(row.standing, num_segments=row.num_segments))
                if row.job.is_settled:
                    settled.append(row.job)
        return settled
