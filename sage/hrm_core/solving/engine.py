"""Continuous batching: one segment for every row, then halted rows are replaced by waiting puzzles.

Invariant: a row is computed from its own puzzle, carry and noise alone. The other rows change its result only
by the rounding of a matrix product, which depends on the batch's shape.
Shapes: B rows in progress, L cells, S tokens, D hidden.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import TokenBatch
from sage.hrm_core.model.recurrence import Carry, Output
from sage.hrm_core.solving.branching import as_searchable
from sage.hrm_core.solving.candidate_sets import CandidateSets
from sage.hrm_core.solving.job import Job
from sage.hrm_core.solving.judging import Judging, Place
from sage.hrm_core.solving.noise import puzzle_seed
from sage.hrm_core.solving.row import Reading, Row
from sage.hrm_core.solving.rules import Verifier
from sage.hrm_core.solving.search_record import SearchRecord
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solutions import Solution
from sage.hrm_core.solving.states import residuals, steps_of, with_noise, with_starts
from sage.hrm_core.solving.step_record import StepRecord


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


class Engine:
    """`submit` adds a puzzle at any time; `step` computes one segment and returns the jobs that it
    settled.

    num_segments_spent: of all rows, since it was made.
    on_segment: called after each segment of a puzzle's first try with its job, its q and its answer (L,)
    int32 so far.
    holds_faults: what the rules raise for a puzzle settles its job, with `fault`, and the others go on;
    otherwise `step` raises it.
    """

    def __init__(
        self,
        model: SegmentModel,
        verifier: Verifier | None = None,
        *,
        batch_size: int = 64,
        clock: Callable[[], float] = time.monotonic,
        on_segment: Callable[[Job, float, np.ndarray], None] | None = None,
        holds_faults: bool = False,
    ) -> None:
        if not isinstance(model.config.front, TokenFront):
            raise TypeError(
                f"front is a {type(model.config.front).__name__}: only a model behind a TokenFront solves"
                " puzzles"
            )
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}: give 1 or more")
        self._model = model
        self._verifier = verifier
        self._front = model.config.front
        self._capacity = batch_size
        self._clock = clock
        self._on_segment = on_segment
        self._judging = Judging(verifier, holds_faults=holds_faults)
        self.num_segments_spent = 0
        self._sets = CandidateSets.of(model.config)
        self._waiting: deque[Job] = deque()
        self._places: list[Place] = []
        self._carry = model.initial_carry(0)
        self._device = self._carry.z_H.device
        self._batch = self._batch_of(())

    @property
    def is_idle(self) -> bool:
        return not self._places and not self._waiting

    @property
    def batch_size(self) -> int:
        return self._capacity

    @property
    def num_cells(self) -> int:
        return self._front.seq_len

    def submit(
        self,
        cells: np.ndarray,
        settings: SolveSettings,
        *,
        puzzle_id: int = -1,
        record: SearchRecord | None = None,
        steps: StepRecord | None = None,
    ) -> Job:
        """cells (L,) integers. InputError if they do not fit the model, or the settings need a verifier that
        is absent. record: filled by the puzzle's search, steps: by its plain try.
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
            raise InputError("there is no verifier: give the task, or halt 'q' without abstains and search")
        if settings.chains and self._sets is None:
            raise InputError(f"chains is {settings.chains}: the model has no deduction heads: leave it out")
        task = as_searchable(self._verifier) if settings.search and not settings.chains else None
        if settings.search and not settings.chains and task is None:
            raise InputError(
                f"search is {settings.search}: the task has no check of partial answers: give search 0"
            )
        cells = cells.astype(np.int32)
        job = Job(
            cells,
            settings,
            puzzle_id=puzzle_id,
            seed=puzzle_seed(cells, puzzle_id, settings.seed),
            task=task,
            sets=self._sets,
            verifier=self._verifier,
            clock=self._clock,
            record=record,
            steps=steps,
        )
        self._waiting.append(job)
        return job

    @property
    def num_next_rows(self) -> int:
        """Rows that the next step computes: those in progress, and one for each waiting puzzle. A search may
        start more.
        """
        needed = sum(place.is_needed for place in self._places)
        return min(self._capacity, needed + len(self._waiting))

    def conclude(self, job: Job) -> Solution | None:
        """Withdraw the job; returns its best answer so far, None before the first. The rules judge it as they
        would at its end.
        """
        tries = [place for place in self._places if place.job is job and place.is_needed]
        answered = [place for place in tries if place.row.is_try and place.row.answer is not None]
        for place, is_verified in zip(answered, self._judging.verified(answered)):
            job.give_up(place.row, is_verified=is_verified)
        self.withdraw(job)
        return job.solution() if job.has_answer else None

    def withdraw(self, job: Job) -> None:
        """Remove the job's rows; it never settles."""
        job.cancel()
        self._waiting = deque(each for each in self._waiting if each is not job)

    @torch.inference_mode()
    def step(self) -> list[Job]:
        """One segment for up to batch_size rows. The jobs it settled, in no promised order."""
        self._rearrange()
        if not self._places:
            return self._judging.take_failed()
        rows = [place.row for place in self._places]
        before = with_noise(self._carry, rows)
        self._carry, output = self._model.segment(before, self._batch)
        self.num_segments_spent += len(rows)
        for place in self._places:
            place.row.num_segments += 1
            place.job.num_segments_spent += 1
        changes = residuals(before, self._carry, rows)
        self._record_steps(before, output)
        settled = self._end_rows(self._read(output, self._model.wants_halt(output), changes))
        return settled + self._judging.take_failed()

    def _rearrange(self) -> None:
        """Remove rows that are no longer needed and start waiting ones; tensors are copied only if rows
        changed.
        """
        remaining = [index for index, place in enumerate(self._places) if place.is_needed]
        fresh: list[Place] = []
        while self._waiting and len(remaining) + len(fresh) < self._capacity:
            job = self._waiting.popleft()
            if job.has_more:
                with self._judging.fault_of(job):
                    fresh.append(Place(job=job, row=self._started(job)))
            if job.has_more:
                self._waiting.append(job)  # its next row, after one row of all others
        if len(remaining) == len(self._places) and not fresh:
            return
        self._places = [self._places[index] for index in remaining] + fresh
        taken, start = (
            torch.tensor(remaining, dtype=torch.int64, device=self._device),
            with_starts(self._model.initial_carry(len(fresh)), [place.row for place in fresh]),
        )
        self._carry = Carry(
            z_H=torch.cat((self._carry.z_H[taken], start.z_H)),  # (B, S, D)
            z_L=torch.cat((self._carry.z_L[taken], start.z_L)),
        )
        self._batch = self._batch_of(self._places)

    def _started(self, job: Job) -> Row:
        """The job's next row. InputError where its task gave the model what it cannot read."""
        row, front = job.start(), self._front
        shape = row.inputs.shape
        if shape != (front.seq_len,) or row.inputs.min() < 0 or row.inputs.max() >= front.vocab_size:
            raise InputError(
                f"the task gave the model inputs of shape {shape}, or outside 0 to {front.vocab_size - 1}:"
                " correct its as_inputs"
            )
        return row

    def _batch_of(self, places: Sequence[Place]) -> TokenBatch:
        cells = np.array([place.row.inputs for place in places], dtype=np.int32)
        cells = cells.reshape(len(places), self._front.seq_len)
        inputs = torch.from_numpy(cells).to(self._device)  # (B, L)
        ids = [place.job.puzzle_id for place in places]
        puzzle_ids = torch.tensor(ids, dtype=torch.int32, device=self._device)  # (B,)
        candidates = None
        if self._sets is not None:
            bits = [
                self._sets.start(place.row.inputs) if place.row.candidates is None else place.row.candidates
                for place in places
            ]
            shape = (len(places), self._front.seq_len, self._sets.num)
            stacked = np.array(bits, dtype=bool).reshape(shape)
            candidates = torch.from_numpy(stacked).to(self._device)  # (B, L, K)
        return TokenBatch(inputs=inputs, labels=inputs, puzzle_ids=puzzle_ids, candidates=candidates)

    def _read(self, output: Output, wants_halt: Tensor, changes: np.ndarray) -> np.ndarray:
        """Copy what is needed to the host, into the rows. Returns (B,) bool: rows that the Q head ends.

        changes: (B,) residuals.
        """
        assert output.logits is not None
        assert output.q_halt is not None
        q, wants = torch.stack((output.q_halt.float(), wants_halt.float())).cpu().numpy()  # sync: which halt
        rows = [place.row for place in self._places]
        is_sure = np.array([row.is_sure(float(each), want > 0) for row, each, want in zip(rows, q, wants)])
        asked = [index for index, row in enumerate(rows) if row.is_asked(float(q[index]), is_sure[index])]
        if asked:
            at = torch.tensor(asked, dtype=torch.int64, device=self._device)
            answers = (
                output.logits[at].argmax(-1).to(torch.int32).cpu().numpy()
            )  # sync: the answers themselves
            answers = self._judging.completed([self._places[index] for index in asked], answers)
            for index, answer in zip(asked, answers):
                rows[index].answer, rows[index].q = answer.copy(), float(q[index])
                rows[index].residual = float(changes[index])
        if self._on_segment is not None:
            self._show(self._on_segment, output, q)
        self._read_last(output, q, is_sure, changes)
        return is_sure

    def _show(
        self, on_segment: Callable[[Job, float, np.ndarray], None], output: Output, q: np.ndarray
    ) -> None:
        """The answers so far of first tries."""
        assert output.logits is not None
        shown = [
            index
            for index, place in enumerate(self._places)
            if place.row.is_try and place.row.number == 0 and place.is_needed
        ]
        if not shown:
            return
        at = torch.tensor(shown, dtype=torch.int64, device=self._device)
        answers = output.logits[at].argmax(-1).to(torch.int32).cpu().numpy()  # sync: for display
        answers = self._judging.completed([self._places[index] for index in shown], answers)
        for index, answer in zip(shown, answers):
            on_segment(self._places[index].job, float(q[index]), answer)

    def _record_steps(self, before: Carry, output: Output) -> None:
        """Add this segment to the records of first tries that have one."""
        recorded = [
            (index, steps)
            for index, place in enumerate(self._places)
            if (steps := place.job.steps) is not None
            and place.row.is_try
            and place.row.number == 0
            and place.is_needed
        ]
        if not recorded:
            return
        at = torch.tensor([index for index, _ in recorded], dtype=torch.int64, device=self._device)
        for (_, steps), step in zip(recorded, steps_of(before, self._carry, output, at)):
            steps.add(step)

    def _read_last(self, output: Output, q: np.ndarray, is_sure: np.ndarray, changes: np.ndarray) -> None:
        """The last output of the rows that a search needs."""
        rows = [place.row for place in self._places]
        last = [
            index
            for index, row in enumerate(rows)
            if row.reads_output and (row.is_at_limit or is_sure[index])
        ]
        if not last:
            return
        assert output.logits is not None
        at = torch.tensor(last, dtype=torch.int64, device=self._device)
        log_probs = output.logits[at].float().log_softmax(-1).cpu().numpy()  # sync: what a search ranks by
        conflicts: list[float | None] = [None] * len(last)
        if output.conflict is not None:
            conflicts = output.conflict[at].float().tolist()  # sync: only after the last segment of a row
        keeps: list[np.ndarray | None] = [None] * len(last)
        if output.keep is not None:
            keeps = list(output.keep[at].float().cpu().numpy())  # sync: likewise
        for index, each, logit, keep in zip(last, log_probs, conflicts, keeps):
            rows[index].reading = Reading(log_probs=each.copy(), conflict=logit, keep=keep)
            if not rows[index].is_try:
                rows[index].q, rows[index].residual = float(q[index]), float(changes[index])

    def _end_rows(self, is_sure: np.ndarray) -> list[Job]:
        """Verify the tries that end, and those that only the verifier can end. Returns the settled jobs."""
        ending = [
            (place, bool(sure) or place.row.is_at_limit)
            for place, sure in zip(self._places, is_sure)
            if place.is_needed
        ]
        judged = [(place, ends) for place, ends in ending if ends or place.row.halts_by_rules]
        settled = []
        for (place, ends), is_verified in zip(judged, self._judging.verified([place for place, _ in judged])):
            if (
                not (ends or is_verified) or not place.is_needed
            ):  # an earlier try may have settled it just now
                continue
            job, had_more = place.job, place.job.has_more
            with self._judging.fault_of(job):
                job.end(place.row, is_verified=is_verified)
            if job.fault is not None:
                continue
            if job.is_settled:
                settled.append(job)
            elif job.has_more and not had_more:
                self._waiting.append(job)
        return settled
