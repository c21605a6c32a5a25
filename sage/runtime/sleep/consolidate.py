"""A night: a copy of the model learns from replay and is kept only if it is better on held-out experience.

A night has a directory: model, replay, examined windows and job in; candidate and report out. The loop starts
`sage sleep DIR`, one thread at nice 10. A night killed at any step leaves the old weights. Invariant: an
examined window is never replayed.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter

from sage.durable import checked_json, read_json, write_file
from sage.errors import DataError, InputError
from sage.hrm_core.checkpoint.weights_file import save_model
from sage.hrm_core.observation.loss import LossSettings, window_errors, window_loss
from sage.hrm_core.observation.model import ObservationModel
from sage.hrm_core.observation.targets import residual_squares
from sage.hrm_core.optim.ema import EMA
from sage.hrm_core.optim.ranks import SINGLE, Ranks
from sage.memory.windows.window import Window
from sage.memory.windows.window_file import load_windows, save_windows
from sage.runtime.config import PracticeConfig, SleepConfig, Trains
from sage.runtime.report import NAN, LevelExamination, SleepOutcome, SleepReport, to_plain
from sage.runtime.sleep.dreaming import Dream, judge_body
from sage.runtime.sleep.elastic import elastic_of_windows
from sage.runtime.sleep.judge import MIN_EXAMINED, judge, mean_of, too_many_rejected
from sage.runtime.sleep.levels import trained_weights
from sage.runtime.sleep.time_limit import TimeLimit
from sage.runtime.tick.reasoner import load_observation_model

#: Files of a night's folder: what its candidate was made from, the candidate, the report.
MODEL, CANDIDATE, REPORT = "model.safetensors", "candidate.safetensors", "report.json"
JITTER_STD = 0.02  # augmentation: sensor noise, in standard deviations
MAX_GRAD_NORM = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """The data of a night. is_new: (num_examined,) bool, from after the last sleep."""

    model: ObservationModel
    replay: Window
    examined: Window
    is_new: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepPlan:
    """Settings of a night, as stored in job.json. block_secs: of the blocks of time that were examined.
    ema_share: of the steps, which the candidate's average spans; 0: no average.  limit_secs: of the night, or
    None; training ends after half of what is left when it begins, so that as much is left to examine.
    ewc: of the penalty of elastic weight consolidation (`ElasticWeights`); 0: none.
    """

    num_steps: int
    batch_size: int
    learning_rate: float
    burn_in: int
    num_segments: int
    mask_probability: float
    min_examined: int
    seed: int
    tick: int
    trains: Trains = "both"
    block_secs: float = 5.0
    ema_share: float = 0.0
    ewc: float = 0.0
    limit_secs: float | None = None
    loss: LossSettings = field(default_factory=LossSettings)

    @classmethod
    def of(
        cls,
        sleep: SleepConfig,
        practice: PracticeConfig,
        *,
        num_segments: int,
        seed: int,
        tick: int,
        loss: LossSettings | None = None,
        block_secs: float | None = None,
    ) -> SleepPlan:
        """block_secs: None for that of `sleep`."""
        return cls(
            num_steps=sleep.num_steps,
            batch_size=sleep.batch_size,
            learning_rate=sleep.learning_rate,
            burn_in=practice.burn_in_ticks,
            num_segments=num_segments,
            mask_probability=practice.mask_probability,
            min_examined=sleep.min_examined,
            seed=seed,
            tick=tick,
            trains=sleep.trains,
            block_secs=sleep.block_secs if block_secs is None else block_secs,
            ema_share=sleep.ema_share,
            ewc=sleep.ewc,
            limit_secs=sleep.timeout_secs if sleep.where == "process" else None,
            loss=loss or LossSettings(),
        )

    @classmethod
    def read(cls, path: Path) -> SleepPlan:
        """The plan in a job.json; one of an earlier version has the loss at its defaults. DataError for a
        file that is no plan.
        """
        content = read_json(path, plain_keys=_names(cls))
        try:
            if unknown := content.keys() - set(_names(cls)):
                raise ValueError(f"unknown keys: {', '.join(sorted(unknown))[:80]}")
            return TypeAdapter(cls).validate_python(content)
        except ValueError as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{path} is no plan of a night ({reason}): give another folder") from error


def write_job(directory: Path, night: Night, plan: SleepPlan) -> None:
    """Write the inputs of a night; job.json last, so that a directory with it is complete."""
    directory.mkdir(parents=True, exist_ok=True)
    save_model(directory / MODEL, night.model)
    save_windows(directory / "replay.safetensors", night.replay)
    save_windows(directory / "examined.safetensors", night.examined, {"is_new": night.is_new})
    _write_json(directory / "job.json", to_plain(plan))


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenNight:
    """The inputs of a night in its directory."""

    directory: Path
    night: Night
    plan: SleepPlan


def open_night(directory: Path, device: torch.device | str = "cpu") -> OpenNight:
    """Read the inputs, to the device, and remove what an earlier night has left there.

    Raises FileNotFoundError, DataError or InputError naming the file when the directory is not a job.
    """
    plan = SleepPlan.read(directory / "job.json")
    model = load_observation_model(directory / MODEL)
    replay, _ = load_windows(directory / "replay.safetensors")
    examined, extra = load_windows(directory / "examined.safetensors")
    night = Night(
        model=model.to(device),
        replay=replay.to(device),
        examined=examined.to(device),
        is_new=extra["is_new"].astype(bool),
    )
    # a kill leaves no candidate of an earlier night beside a report of this one
    if not Ranks.current().index:
        (directory / REPORT).unlink(missing_ok=True)
        (directory / CANDIDATE).unlink(missing_ok=True)
    return OpenNight(directory=directory, night=night, plan=plan)


def run_night(opened: OpenNight, dream: Dream | None = None) -> SleepReport:
    """Train and examine a candidate; write candidate.safetensors if it is accepted, and report.json last.
    Processes of torch.distributed run it together; the first of them writes. dream: of this night; several
    processes have none.
    """
    ranks, directory = Ranks.current(), opened.directory
    report = sleep_on(opened.night, opened.plan, ranks, dream)
    if ranks.index:
        return report
    if report.outcome is SleepOutcome.ACCEPTED:
        save_model(directory / CANDIDATE, opened.night.model.cpu())
    _write_json(directory / REPORT, to_plain(report))
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """Losses on held-out windows, in training variance: the model's, and of "nothing changes" and of the
    linear skip alone. num: fresh readings.
    """

    model: float
    persistence: float
    skip: float
    num: int


def examine(directory: Path) -> Examined:
    """The model of a night's directory on its examined windows; nothing is written. Errors as open_night."""
    plan = SleepPlan.read(directory / "job.json")
    model = load_observation_model(directory / MODEL)
    examined, _ = load_windows(directory / "examined.safetensors")
    errors = window_errors(model, examined, burn_in=plan.burn_in, num_segments=plan.num_segments)
    return Examined(
        model=mean_of(errors.model.numpy()),
        persistence=mean_of(errors.persistence.numpy()),
        skip=mean_of(errors.skip.numpy()),
        num=count_readings(examined, plan.burn_in),
    )


def main(opened: OpenNight, dream: Dream | None = None) -> SleepReport:
    """`sage sleep DIR`: one night in a process of its own, one thread at nice 10."""
    torch.set_num_threads(1)
    os.nice(10)
    return run_night(opened, dream)


def sleep_on(
    night: Night,
    plan: SleepPlan,
    ranks: Ranks = SINGLE,
    dream: Dream | None = None,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> SleepReport:
    """Train `night.model` in place and compare it with its state before. The caller keeps the original.

    ranks: processes that take each step together, each on its share of the windows. InputError where a
    batch has fewer windows than there are processes.  dream: practice before the replay, and a second
    examination, which decides alone where there are too few readings.  clock: seconds.
    """
    started = clock()
    num_examined = count_readings(night.examined, plan.burn_in)
    reason = why_skip(night, plan)
    report = SleepReport(
        outcome=SleepOutcome.SKIPPED,
        reason=reason,
        tick=plan.tick,
        num_replayed=len(night.replay),
        num_examined=num_examined,
        num_steps=0,
    )
    if reason and dream is None:
        return report
    before = window_errors(night.model, night.examined, burn_in=plan.burn_in, num_segments=plan.num_segments)
    body = None if dream is None else (dream.examine(night.model), dream.practise(night.model))
    limit = None
    if plan.limit_secs is not None:
        left_secs = plan.limit_secs - ranks.mean(clock() - started)
        limit = TimeLimit(left_secs / 2, clock, ranks)
    num_steps, num_tried = _train(night.model, night.replay, plan, ranks, limit)
    after = window_errors(night.model, night.examined, burn_in=plan.burn_in, num_segments=plan.num_segments)
    blocks = blocks_of(night.examined, plan)
    verdict = judge(_on_host(before.model), _on_host(after.model), night.is_new, plan.seed, blocks=blocks)
    if reason:
        verdict = dataclasses.replace(verdict, outcome=SleepOutcome.UNDECIDED, reason=reason)
    problem = too_many_rejected(num_tried - num_steps, num_tried)
    if dream is not None and body is not None:
        episodes, dreamt = body
        verdict = judge_body(verdict, episodes, dream.examine(night.model), dreamt, plan.seed)
        num_steps += dreamt.num_steps
    if problem:
        verdict = dataclasses.replace(verdict, outcome=SleepOutcome.ROLLED_BACK, reason=problem)
    return dataclasses.replace(
        report,
        num_steps=num_steps,
        loss_persistence=mean_of(_on_host(before.persistence)),
        loss_skip=mean_of(_on_host(before.skip)),
        wall_secs=clock() - started,
        **{each.name: getattr(verdict, each.name) for each in dataclasses.fields(verdict)},
    )


def _on_host(losses: torch.Tensor) -> np.ndarray:
    array: np.ndarray = losses.cpu().numpy()
    return array


def why_skip(night: Night | None, plan: SleepPlan) -> str:
    """Why there is no night: too little to replay or to examine; "" when there is enough."""
    if night is None:
        return "no window to replay, or none to examine"
    num_examined = count_readings(night.examined, plan.burn_in)
    num_blocks = len(np.unique(blocks_of(night.examined, plan)))
    if num_examined < plan.min_examined or num_blocks < MIN_EXAMINED:
        return (
            f"{num_examined} readings in {len(night.examined)} windows to examine, from {num_blocks} of the"
            f" blocks of {plan.block_secs:g} s: at least {plan.min_examined} from {MIN_EXAMINED} are required"
        )
    return ""


def blocks_of(windows: Window, plan: SleepPlan) -> np.ndarray:
    """(num_windows,) the number of the block of time that each window starts in."""
    block_ns = round(plan.block_secs * 1e9)
    blocks: np.ndarray = windows.start_time_ns.cpu().numpy() // block_ns
    return blocks


def count_readings(windows: Window, burn_in: int) -> int:
    """Readings that an examination scores: fresh ones after the burn-in."""
    return int(windows.fresh[:, burn_in + 1 :].sum()) if len(windows) else 0


def _train(
    model: ObservationModel, replay: Window, plan: SleepPlan, ranks: Ranks, limit: TimeLimit | None
) -> tuple[int, int]:
    """Returns the steps that were taken, and those that were tried."""
    batch_size = min(plan.batch_size, len(replay))
    if batch_size < ranks.count:
        raise InputError(f"a batch has {batch_size} windows for {ranks.count} processes: run fewer processes")
    generator = torch.Generator().manual_seed(plan.seed)
    own = generator if ranks.count == 1 else torch.Generator().manual_seed(plan.seed + 1 + ranks.index)
    weights = trained_weights(model, plan.trains)
    optimizer = torch.optim.AdamW(weights, lr=plan.learning_rate, betas=(0.9, 0.95), weight_decay=0.01)
    average = EMA(model, 0.0)
    model.note_residuals(residual_squares(model, replay))
    model.train()
    elastic = elastic_of_windows(
        model, weights, replay, burn_in=plan.burn_in, num_segments=plan.num_segments, strength=plan.ewc
    )
    num_steps = num_tried = 0
    while num_tried < (most := plan.num_steps if limit is None else limit.most(num_tried, plan.num_steps)):
        optimizer.param_groups[0]["lr"] = plan.learning_rate * _rate_share(num_tried, most)
        num_tried += 1
        chosen = torch.randint(len(replay), (batch_size,), generator=generator)[ranks.index :: ranks.count]
        loss, _ = window_loss(
            model,
            augment(replay[chosen], model.channel_source, own),
            burn_in=plan.burn_in,
            num_segments=plan.num_segments,
            mask_probability=plan.mask_probability,
            generator=own,
            settings=plan.loss,
        )
        loss = loss if elastic is None else loss + elastic.penalty()
        model.zero_grad(set_to_none=True)  # also of the weights that are not trained
        loss.backward()
        ranks.mean_gradients_(weights)
        norm = torch.nn.utils.clip_grad_norm_(weights, MAX_GRAD_NORM)
        if torch.isfinite(norm):  # sync: a bad step must not be taken
            optimizer.step()
            num_steps += 1
            average.decay = 1.0 - 1.0 / max(1.0, plan.ema_share * num_steps)
            average.update()
    average.copy_to_weights()
    model.eval()
    return num_steps, num_tried


def _rate_share(step: int, num_steps: int) -> float:
    """Linear warm-up over a tenth of the night, then a cosine to 0."""
    num_warmup = max(num_steps // 10, 1)
    return min((step + 1) / num_warmup, 0.5 + 0.5 * math.cos(math.pi * step / num_steps))


def augment(windows: Window, channel_source: torch.Tensor, generator: torch.Generator) -> Window:
    """The same windows with slight sensor noise.

    Dropout of whole sources is part of the loss. A reading has one noise value for as long as it is the
    newest, and deltas change with the values, so that a window stays consistent. channel_source: (C,) the
    source of each channel.
    """
    drawn = torch.randn(windows.values.shape, generator=generator)  # on the host, as its generator
    noise = drawn.to(windows.values.device) * JITTER_STD  # (B, T+1, C)
    step = torch.zeros_like(noise)
    is_fresh = windows.fresh[:, :, channel_source]
    for tick in range(1, noise.shape[1]):
        before = noise[:, tick - 1]
        noise[:, tick] = torch.where(is_fresh[:, tick], noise[:, tick], before)
        step[:, tick] = torch.where(is_fresh[:, tick], noise[:, tick] - before, step[:, tick - 1])
    return windows.replace(values=windows.values + noise, deltas=windows.deltas + step)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_file(path, checked_json(content))


def _names(kind: type[SleepPlan] | type[SleepReport]) -> list[str]:
    return [each.name for each in dataclasses.fields(kind)]


def read_report(path: Path) -> SleepReport:
    """report.json as a SleepReport; null is NaN again."""
    return report_of(read_json(path, plain_keys=_names(SleepReport)))


def report_of(plain: dict[str, Any]) -> SleepReport:
    """What `to_plain` made of a report; None is NaN again."""
    fields = _numbers(plain)
    fields["outcome"] = SleepOutcome(fields["outcome"])
    fields["levels"] = tuple(LevelExamination(**_numbers(each)) for each in fields.get("levels", ()))
    return SleepReport(**fields)


def _numbers(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: NAN if value is None else value for name, value in fields.items()}
