"""One step of deep supervision: a segment for every row of the batch, then one update of the weights.

Invariant: random numbers of a step are a function of seed, step and rank; a step that is not finite changes
no weights, on any rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.config.model import TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.model.layers import cast_once
from sage.hrm_core.model.perturbation import Perturbation
from sage.hrm_core.optim.config import MatmulKind
from sage.hrm_core.optim.ema import EMA
from sage.hrm_core.optim.optimizers import Optimizers
from sage.hrm_core.optim.ranks import Ranks
from sage.hrm_core.tasks.contract import Examples, TaskSpec
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.deducing import DeductionSteps, check_deduction
from sage.hrm_core.training.guesses import check_guesses, num_guessed, with_guesses
from sage.hrm_core.training.lanes import Lane, split_rows, to_batch
from sage.hrm_core.training.objective import READOUT, SegmentLoss, segment_loss
from sage.hrm_core.training.stream import RowSource


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """The results of a step. figures: those of READOUT; of finished rows as means (nan if none finished).

    num_finished: rows that finished a puzzle.  is_finite: whether the weights were updated.  lr: ratio of the
    schedule.
    """

    step: int
    figures: Mapping[str, float]
    num_finished: int
    grad_norm: float
    is_finite: bool
    lr: float


class Learner:
    """A model, its optimizers, and the rows of its batch.

    optimizers, ema: of models that share this one's weights; by default of this model alone.
    """

    def __init__(
        self,
        model: HRM,
        spec: TaskSpec,
        config: TrainConfig,
        *,
        num_steps: int,
        ranks: Ranks,
        optimizers: Optimizers | None = None,
        ema: EMA | None = None,
    ) -> None:
        check_fit(model, spec, config, ranks)
        self.model = model
        self._config = config
        self._ranks = ranks
        self._front = model.config.front
        self._is_one_identity = spec.num_puzzle_ids == 0
        self._blank = spec.blank
        self.device = next(model.parameters()).device
        if self.device.type == "cpu" and (config.bf16 or config.matmul != "highest"):
            # torch's fused kernel then calls oneDNN for each small tile: 170 ms instead of 14 (S 100, E 16,
            # batch 32); its backward pass in bf16 takes 26 ms instead of 4 (S 82, E 64, 8 heads, batch 8).
            model.use_attention("eager")
        if config.bf16:
            model.inner.compute_in(torch.bfloat16)
        self._num_first_steps = 0 if config.first_segments is None else round(config.first_share * num_steps)
        self.optimizers = optimizers or Optimizers(model, config.optimizer, num_steps=num_steps, ranks=ranks)
        self.ema = ema
        if ema is None and config.ema_decay is not None:
            self.ema = EMA(model, config.ema_decay, begin_step=config.ema_begin_step)
        self._deduction = DeductionSteps(model, spec, config) if model.config.heads == "deduction" else None
        self._names = READOUT if self._deduction is None else self._deduction.READOUT
        self._num_means = self._names.index("count")
        self.lanes = self._empty_lanes(spec.seq_len)
        self._generator = torch.Generator()
        self._parameters = list(model.parameters())

    def step(self, number: int, stream: RowSource) -> StepFacts:
        """Step `number` (1, 2, ...): refill, a segment forward and backward for each lane, then the
        optimizers.
        """
        self.model.train()
        self._generator.manual_seed(
            int(np.random.SeedSequence((self._config.seed, number, self._ranks.index)).generate_state(1)[0])
        )
        self.optimizers.zero_grad()
        readout = torch.zeros(len(self._names), device=self.device)
        lanes = self._refilled(stream)
        perturbation = self._perturbation()
        with matmul_precision(self._config.matmul):
            for index, lane in enumerate(lanes):
                with self._cast():
                    lanes[index], part = self._learn(
                        lane, len(lanes), self._max_segments(number), perturbation
                    )
                readout += part / len(lanes)
        return self._update(number, lanes, readout)

    def _cast(self) -> AbstractContextManager[None]:
        """In bf16 all calls of a step share one cast copy of the weights: HRM 27 M calls each net six times.
        Not on a GPU, where casting is cheap and gradients of many calls are summed more accurately in
        fp32.
        """
        shares = self._config.bf16 and self.device.type == "cpu"
        return cast_once(self.model, torch.bfloat16) if shares else nullcontext()

    def _refilled(self, stream: RowSource) -> list[Lane]:
        """Halted rows take the next rows of the stream; every rank draws the rows of all ranks and uses its
        own.
        """
        counts = [lane.num_halted for lane in self.lanes]
        all_counts = (
            self._ranks.gather_rows(torch.tensor(counts, device=self.device)).tolist()
            if self._ranks.count > 1
            else counts
        )
        new = split_rows(stream.take(sum(all_counts)), all_counts)
        first = self._ranks.index * len(counts)
        mine = new[first : first + len(counts)]
        return [
            lane.refilled(self._identified(rows)) if count else lane
            for lane, rows, count in zip(self.lanes, mine, counts)
        ]

    def _identified(self, rows: Examples) -> Examples:
        """For a task without puzzle ids, use row 0 of the model's puzzle table, as the published sudoku and
        maze models do.
        """
        assert isinstance(self._front, TokenFront)
        if self._is_one_identity and self._front.num_puzzle_ids:
            return replace(rows, puzzle_ids=np.zeros_like(rows.puzzle_ids))
        return rows

    def _max_segments(self, number: int) -> int | None:
        """Maximum number of segments per puzzle at this step; None: the model's."""
        return self._config.first_segments if number <= self._num_first_steps else None

    def _perturbation(self) -> Perturbation | None:
        """Random starts and noise of this step, from a generator on the device that the step's own seeds."""
        config = self._config
        if not (config.random_start or config.state_noise):
            return None
        seed = int(torch.randint(2**62, (), generator=self._generator))
        return Perturbation(
            start_std=config.random_start,
            noise_std=config.state_noise,
            generator=torch.Generator(self.device).manual_seed(seed),
        )

    def _learn(
        self, lane: Lane, num_lanes: int, max_segments: int | None, perturbation: Perturbation | None
    ) -> tuple[Lane, Tensor]:
        """A segment forward and backward; returns the lane and the readout. The graph is freed on return,
        before the gradients are cast to fp32.
        """
        if self._deduction is not None:
            state, readout = self._deduction.learn(
                lane.state, to_batch(lane.rows, self.device), self._generator, share=1 / num_lanes
            )
            return replace(lane, state=state), readout
        lane, loss = self._forward(lane, max_segments, perturbation)
        (loss.total / num_lanes).backward()
        return lane, loss.readout

    def _forward(
        self, lane: Lane, max_segments: int | None, perturbation: Perturbation | None
    ) -> tuple[Lane, SegmentLoss]:
        batch, model = to_batch(lane.rows, self.device), self.model
        state, output = model(
            lane.state,
            batch,
            max_segments=max_segments,
            generator=self._generator,
            perturbation=perturbation,
        )
        q_continue = (
            model.next_q_continue(state, max_segments=max_segments) if model.config.has_q_continue else None
        )
        is_counted = state.is_halted
        if self._config.guesses:
            is_counted = is_counted & (num_guessed(state, batch.inputs) == 0)
        loss = segment_loss(
            output,
            state.batch.labels,
            self._config,
            num_segments=state.num_segments,
            is_halted=is_counted,
            q_continue=q_continue,
        )
        if self._config.guesses:
            assert output.logits is not None
            assert self._blank is not None
            state = with_guesses(
                state,
                output.logits,
                batch.inputs,
                model.inner,
                self._config,
                blank=self._blank,
                limit=max_segments or model.config.halt_max_segments,
            )
        return replace(lane, state=state), loss

    def _update(self, number: int, lanes: list[Lane], readout: Tensor) -> StepFacts:
        gradients = [weight.grad for weight in self._parameters if weight.grad is not None]
        self._ranks.mean_([*gradients, readout])
        norm = torch.nn.utils.get_total_norm(gradients)
        halted = torch.cat([lane.state.is_halted for lane in lanes])
        # sync: the only one of a step
        values = torch.cat((readout, norm[None], halted.to(readout.dtype))).cpu().numpy()
        is_finite = bool(np.isfinite(values).all())
        if is_finite:
            self._clip(gradients, float(values[len(self._names)]))
            lr = self.optimizers.step(number)
            if self.ema is not None:
                self.ema.update()
            masks = np.split(
                values[len(self._names) + 1 :] > 0.5, np.cumsum([len(lane.is_halted) for lane in lanes])[:-1]
            )
            self.lanes = [lane.advanced(lane.state, mask) for lane, mask in zip(lanes, masks)]
        else:
            lr = self.optimizers.schedule.ratio(number)
            self.lanes = [lane.restarted() for lane in lanes]
        return self._facts(number, values, is_finite, lr)

    def _clip(self, gradients: list[Tensor], norm: float) -> None:
        limit = self._config.clip_norm
        if limit is not None and norm > limit:
            torch._foreach_mul_(gradients, limit / (norm + 1e-6))

    def _facts(self, number: int, values: np.ndarray, is_finite: bool, lr: float) -> StepFacts:
        figures = dict(zip(self._names, map(float, values)))
        count = figures["count"]  # a mean over lanes and ranks, as the sums are
        for name in self._names[self._num_means + 1 :]:
            figures[name] = figures[name] / count if count else math.nan
        num_parts = len(self.lanes) * self._ranks.count
        num_finished = round(count * num_parts) if is_finite else 0
        del figures["count"]
        norm = float(values[len(self._names)])
        return StepFacts(
            step=number,
            figures=figures,
            num_finished=num_finished,
            grad_norm=norm,
            is_finite=is_finite,
            lr=lr,
        )

    def _empty_lanes(self, seq_len: int) -> list[Lane]:
        num_lanes = self._config.micro_batches
        size = self._config.batch_size // (num_lanes * self._ranks.count)
        return [Lane.empty(self.model, size, seq_len, self.device) for _ in range(num_lanes)]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All state but the lanes, equal on every rank: tensors by name, and all other state as JSON
        values.
        """
        optimizer_tensors, optimizer_plain = self.optimizers.state()
        tensors = {
            **{f"model.{name}": tensor for name, tensor in self.model.state_dict().items()},
            **{f"optimizer.{name}": tensor for name, tensor in optimizer_tensors.items()},
        }
        plain: dict[str, Any] = {"optimizer": optimizer_plain, "num_ema_updates": 0}
        if self.ema is not None:
            tensors.update({f"ema.{name}": tensor for name, tensor in self.ema.state().items()})
            plain["num_ema_updates"] = self.ema.num_updates
        return tensors, plain

    def load_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Restore a result of `state`. Raises InputError or RuntimeError if it is of another model or
        optimizer.
        """
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "ema": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = tensor
        self.model.load_state_dict(parts["model"])
        self.optimizers.load_state(parts["optimizer"], plain["optimizer"])
        if (self.ema is None) != (not parts["ema"]):
            raise InputError(
                "ema_decay is set only in the checkpoint or only here: set it in both or in neither"
            )
        if self.ema is not None:
            self.ema.load_state(parts["ema"], plain["num_ema_updates"])

    def lane_tensors(self) -> dict[str, Tensor]:
        """This rank's unfinished rows, lanes concatenated."""
        parts = [lane.tensors() for lane in self.lanes]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def load_lanes(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore this rank's rows, from `lane_tensors` or from another split of the same batch. States get
        the dtype of this run: that of the sum of two would be the wider one, for good.
        """
        dtype = self.model.inner.H_init.dtype
        states = {name: tensors[name].to(dtype) for name in ("z_H", "z_L")}
        chunks = {name: tensor.chunk(len(self.lanes)) for name, tensor in {**tensors, **states}.items()}
        lanes = [{name: parts[index] for name, parts in chunks.items()} for index in range(len(self.lanes))]
        self.lanes = [Lane.of_tensors(each, self.device) for each in lanes]


def check_fit(model: HRM, spec: TaskSpec, config: TrainConfig, ranks: Ranks) -> None:
    """Raise InputError if the model does not fit the task's shape, or the batch cannot be split."""
    front = model.config.front
    if not isinstance(front, TokenFront):
        raise InputError(
            "the model takes continuous inputs, but tasks have symbols: give a model with a TokenFront"
        )
    for name in ("vocab_size", "seq_len"):
        ours, theirs = getattr(front, name), getattr(spec, name)
        if ours != theirs:
            raise InputError(
                f"{name} of the model is {ours}, of task {spec.name} {theirs}: give a model of the task's"
                " shape"
            )
    if 0 < front.num_puzzle_ids < spec.num_puzzle_ids:
        raise InputError(
            f"num_puzzle_ids of the model is {front.num_puzzle_ids}, task {spec.name} has"
            f" {spec.num_puzzle_ids}: give as many"
        )
    num_parts = config.micro_batches * ranks.count
    if config.batch_size % num_parts:
        raise InputError(
            f"batch_size is {config.batch_size}: give a multiple of {num_parts} "
            f"({config.micro_batches} micro_batches on each of {ranks.count} processes)"
        )
    check_guesses(spec, config)
    if model.config.heads == "answer" and config.deduction is not None:
        raise InputError(
            "deduction: the model has no deduction heads: leave it out, or give a model with them"
        )
    if model.config.heads == "deduction":
        check_deduction(spec, config)


@contextmanager
def matmul_precision(precision: MatmulKind) -> Iterator[None]:
    """Context: sets the process's float32_matmul_precision inside and restores it afterwards."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
