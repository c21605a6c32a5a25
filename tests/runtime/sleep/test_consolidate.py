"""A night is kept only if it is better: judged by known answers, and by nights that were made bad on
purpose.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from sage.app.cli.main import app
from sage.durable import checked_json
from sage.errors import DataError
from sage.hrm_core.observation.loss import LossSettings
from sage.memory.windows.window import WINDOW_FIELDS, Window
from sage.runtime.config import PracticeConfig, SleepConfig
from sage.runtime.report import SleepOutcome, to_plain
from sage.runtime.sleep import consolidate as sleep
from sage.runtime.sleep.consolidate import (
    Night,
    SleepPlan,
    augment,
    examine,
    open_night,
    read_report,
    run_night,
    sleep_on,
    write_job,
)
from sage.runtime.sleep.dreaming import Dreamt, Episodes
from sage.runtime.tick.reasoner import build_model

PLAN = SleepPlan(
    num_steps=40,
    batch_size=8,
    learning_rate=2e-2,
    burn_in=2,
    num_segments=1,
    mask_probability=0.1,
    min_examined=64,
    seed=3,
    tick=100,
)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def are_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def night(model, stretches) -> Night:
    return Night(
        model=model, replay=stretches(64, 1), examined=stretches(16, 2), is_new=np.ones(16, dtype=bool)
    )


@pytest.fixture(scope="module")
def learned(layout, section, stretches) -> dict[str, torch.Tensor]:
    """Weights after one good night."""
    model = build_model(layout, 0, section, seed=0)
    good = Night(
        model=model, replay=stretches(64, 1), examined=stretches(16, 2), is_new=np.ones(16, dtype=bool)
    )
    sleep_on(good, dataclasses.replace(PLAN, num_steps=80))
    return weights(model)


@pytest.fixture
def second_night(night: Night, learned: dict[str, torch.Tensor]) -> Night:
    """A night of a model that already knows something: there is something to lose."""
    night.model.load_state_dict(learned)
    return night


def test_examined_windows_of_one_block_of_time_are_too_few(night: Night):
    report = sleep_on(night, dataclasses.replace(PLAN, block_secs=8.0))
    assert report.outcome is SleepOutcome.SKIPPED
    assert "from 2 of the blocks of 8 s: at least 64 from 4 are required" in report.reason


def test_a_night_on_what_can_be_learned_is_accepted_with_numbers(night: Night):
    report = sleep_on(night, PLAN)
    assert report.outcome is SleepOutcome.ACCEPTED
    assert report.num_steps == PLAN.num_steps
    assert report.num_examined == 16 * 6 * 2  # stretches, ticks after the burn-in, sources
    assert 0 < report.gain_low <= report.gain <= report.gain_high < 1
    assert report.loss_after < report.loss_before
    assert report.loss_skip == pytest.approx(report.loss_before)  # a fresh model adds nothing to its skip
    assert math.isfinite(report.loss_persistence)


def wrong_targets(night: Night, stretches) -> Night:
    """Targets that were not what came: what is replayed was lived by something that hardly moves."""
    return dataclasses.replace(night, replay=stretches(64, 1, keep=0.99))


def test_wrong_targets_are_rolled_back(second_night: Night, stretches):
    report = sleep_on(wrong_targets(second_night, stretches), PLAN)
    assert report.outcome is SleepOutcome.ROLLED_BACK
    assert report.gain_high < 0


def test_a_hundredfold_learning_rate_is_rolled_back(second_night: Night):
    report = sleep_on(second_night, dataclasses.replace(PLAN, learning_rate=100 * PLAN.learning_rate))
    assert report.outcome is SleepOutcome.ROLLED_BACK
    assert report.gain_high < 0


def test_a_model_of_nan_is_not_accepted(night: Night):
    for weight in night.model.parameters():
        weight.data[..., :1] = torch.nan
    assert sleep_on(night, PLAN).outcome is SleepOutcome.ROLLED_BACK


def test_weights_that_become_nan_while_training_are_rolled_back(
    night: Night, monkeypatch: pytest.MonkeyPatch
):
    train = sleep._train

    def poisoned(model: torch.nn.Module, *rest: object) -> int:
        num_steps = train(model, *rest)
        next(iter(model.parameters())).data.fill_(torch.nan)
        return num_steps

    monkeypatch.setattr(sleep, "_train", poisoned)
    report = sleep_on(night, PLAN)
    assert report.outcome is SleepOutcome.ROLLED_BACK
    assert "not finite" in report.reason


def test_a_step_that_is_not_finite_is_not_taken(night: Night):
    replay = night.replay
    replay.values[:] = torch.nan
    before = weights(night.model)
    report = sleep_on(night, PLAN)
    assert report.num_steps == 0
    assert are_equal(weights(night.model), before)
    assert report.outcome is SleepOutcome.ROLLED_BACK
    assert report.reason == "40 of 40 steps had a gradient that is not finite"


@pytest.mark.parametrize(("num_stretches", "min_examined"), [(2, 1), (16, 10_000)])
def test_too_little_to_examine_is_skipped_with_a_reason(
    night: Night, stretches, num_stretches: int, min_examined: int
):
    short = dataclasses.replace(
        night, examined=stretches(num_stretches, 2), is_new=np.ones(num_stretches, bool)
    )
    before = weights(night.model)
    report = sleep_on(short, dataclasses.replace(PLAN, min_examined=min_examined))
    assert report.outcome is SleepOutcome.SKIPPED
    assert f"in {num_stretches} windows" in report.reason
    assert f"{min_examined} from 4 are required" in report.reason
    assert report.num_steps == 0
    assert are_equal(weights(night.model), before)


def test_augmented_windows_stay_consistent_with_themselves(model, stretches):
    """values[t] - values[t - 1] is deltas[t] before and after, and a reading that is held is held with its
    noise.
    """
    window = stretches(8)
    window.fresh[:, 1::2, 1] = False  # the second source speaks every other tick
    held = torch.tensor([False, False, True, True, True])
    for tick in range(1, window.values.shape[1], 2):
        window.values[:, tick, held] = window.values[:, tick - 1, held]
        window.deltas[:, tick, held] = window.deltas[:, tick - 1, held]
    changed = augment(window, model.channel_source, torch.Generator().manual_seed(0))
    noise, step = changed.values - window.values, changed.deltas - window.deltas
    assert noise.std() == pytest.approx(sleep.JITTER_STD, rel=0.1)
    assert torch.allclose(step[:, 1:, ~held], noise[:, 1:, ~held] - noise[:, :-1, ~held], atol=1e-6)
    assert torch.allclose(noise[:, 1::2, held], noise[:, 0:-1:2, held], atol=1e-6)
    assert torch.allclose(step[:, 3::2, held], step[:, 2:-1:2, held], atol=1e-6)
    assert torch.allclose(step[:, 2::2, held], noise[:, 2::2, held] - noise[:, 1:-1:2, held], atol=1e-6)
    untouched = set(WINDOW_FIELDS) - {"values", "deltas"}
    assert all(
        torch.equal(torch.nan_to_num(getattr(changed, name)), torch.nan_to_num(getattr(window, name)))
        for name in untouched
    )


def test_augmentation_does_not_change_the_replay(model, stretches):
    window = stretches(4)
    before = window.values.clone()
    augment(window, model.channel_source, torch.Generator().manual_seed(0))
    assert torch.equal(window.values, before)


def test_a_night_on_disk_gives_the_same_report_and_weights_as_one_in_memory(night: Night, tmp_path: Path):
    write_job(tmp_path, night, PLAN)
    other = dataclasses.replace(night, model=copy.deepcopy(night.model))
    report = dataclasses.replace(run_night(open_night(tmp_path)), wall_secs=0.0)
    assert report == dataclasses.replace(
        sleep_on(other, PLAN),
        wall_secs=0.0,
        loss_old_before=report.loss_old_before,
        loss_old_after=report.loss_old_after,
    )
    candidate = sleep.load_observation_model(tmp_path / "candidate.safetensors")
    assert are_equal(weights(candidate), weights(other.model))


def test_an_examination_has_the_losses_of_before_the_night_and_writes_nothing(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_job(tmp_path, night, dataclasses.replace(PLAN, num_steps=2))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    found = examine(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    report = run_night(open_night(tmp_path))
    assert found.num == report.num_examined
    assert found.persistence == pytest.approx(report.loss_persistence)
    assert found.skip == pytest.approx(report.loss_skip)
    result = CliRunner().invoke(app, ["sleep", str(tmp_path), "--examine"])
    assert result.exit_code == 0, result.output
    assert f"on {found.num} held-out readings" in result.output
    result = CliRunner().invoke(app, ["sleep", str(tmp_path), "--examine", "--json"])
    assert json.loads(result.output) == {"folder": str(tmp_path), **dataclasses.asdict(found)}
    monkeypatch.setattr(os, "nice", lambda _: 0)
    result = CliRunner().invoke(app, ["sleep", str(tmp_path)])
    assert result.output.startswith(f"night {tmp_path.name}: {report.outcome.value.replace('_', ' ')} (")
    assert "; 2 steps; " in result.output


def test_a_night_runs_on_the_device_that_is_asked_for(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """On a machine without a GPU: the tensors are moved where the night is told, and a wrong device is one
    line.
    """
    moved: list[str] = []
    to = Window.to
    monkeypatch.setattr(Window, "to", lambda self, device: (moved.append(str(device)), to(self, device))[1])
    write_job(tmp_path, night, dataclasses.replace(PLAN, num_steps=2))
    assert run_night(open_night(tmp_path, torch.device("cpu"))).num_steps == 2
    assert moved == ["cpu", "cpu"]
    result = CliRunner().invoke(app, ["sleep", str(tmp_path), "--device", "cuda:99"])
    assert result.exit_code != 0
    assert "--device cuda:99" in str(result.exception or result.output)


def test_a_night_that_is_not_better_leaves_no_candidate(second_night: Night, stretches, tmp_path: Path):
    write_job(tmp_path, wrong_targets(second_night, stretches), PLAN)
    assert run_night(open_night(tmp_path)).outcome is SleepOutcome.ROLLED_BACK
    assert not (tmp_path / "candidate.safetensors").exists()


def test_a_report_is_read_back_as_it_was_written(night: Night, tmp_path: Path):
    write_job(tmp_path, night, dataclasses.replace(PLAN, num_steps=2))
    report = run_night(open_night(tmp_path))
    found = read_report(tmp_path / "report.json")
    assert repr(found) == repr(report)  # NaN is not equal to itself, but is written alike
    assert json.loads((tmp_path / "report.json").read_text())["loss_old_before"] is None


def test_a_folder_without_job_json_raises(night: Night, tmp_path: Path):
    write_job(tmp_path, night, PLAN)
    (tmp_path / "job.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"job\.json"):
        run_night(open_night(tmp_path))


@pytest.mark.parametrize("change", [{"loss": 5}, {"num_steps": "many"}, {"more": 1}, {"seed": None}])
def test_a_wrong_plan_is_a_data_error(tmp_path: Path, change: dict[str, object]):
    path = tmp_path / "job.json"
    path.write_bytes(checked_json({**to_plain(PLAN), **change}))
    with pytest.raises(DataError, match="is no plan of a night"):
        SleepPlan.read(path)
    path.write_bytes(checked_json(to_plain(PLAN)))
    assert SleepPlan.read(path) == PLAN


def test_a_night_begins_without_the_candidate_of_the_last_one(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_job(tmp_path, night, PLAN)
    for name in ("report.json", "candidate.safetensors"):
        (tmp_path / name).write_text("{}")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sleep, "sleep_on", killed)
    with pytest.raises(KeyboardInterrupt):
        run_night(open_night(tmp_path))
    assert not (tmp_path / "report.json").exists()
    assert not (tmp_path / "candidate.safetensors").exists()


def test_a_night_learns_with_the_loss_of_its_plan_and_an_earlier_plan_with_the_defaults(
    tmp_path: Path,
) -> None:
    loss = LossSettings(discount=0.5, reward_scale=0.1)
    plan = SleepPlan.of(SleepConfig(), PracticeConfig(), num_segments=1, seed=0, tick=3, loss=loss)
    job = tmp_path / "job.json"
    content = to_plain(plan)
    job.write_text(json.dumps(content))
    assert SleepPlan.read(job) == plan
    del content["loss"]
    job.write_text(json.dumps(content))
    assert SleepPlan.read(job).loss == LossSettings()


class FakeDream:
    """Returns of 0 before its practice and `after` later; the practice adds `change` to the weights."""

    def __init__(self, after: float, change: float) -> None:
        self._returns = [0.0, after]
        self._change = change

    def examine(self, model: torch.nn.Module) -> Episodes:
        returns = np.full(8, self._returns.pop(0)) + np.linspace(-0.01, 0.01, 8)
        return Episodes(returns=returns, successes=np.full(8, math.nan))

    def practise(self, model: torch.nn.Module) -> Dreamt:
        with torch.no_grad():
            for weight in model.parameters():
                weight += self._change
        return Dreamt(num_ticks=10, num_episodes=2, num_steps=5, num_failed=0, cpu_secs=0.1)


def test_a_dream_comes_before_the_replay_and_its_episodes_decide_where_readings_are_few(night: Night) -> None:
    few = dataclasses.replace(PLAN, num_steps=2, learning_rate=1e-6, min_examined=10**6)
    assert sleep_on(copy.deepcopy(night), few).outcome is SleepOutcome.SKIPPED
    better = sleep_on(copy.deepcopy(night), few, dream=FakeDream(1.0, 0.0))
    assert better.outcome is SleepOutcome.ACCEPTED
    assert better.reason.startswith("better in its environments: mean return +1.00")
    assert better.num_steps == 7
    equal = sleep_on(copy.deepcopy(night), few, dream=FakeDream(0.0, 0.0))
    assert equal.outcome is SleepOutcome.UNDECIDED
    assert "are required; mean return +0.00" in equal.reason
    enough = dataclasses.replace(few, min_examined=1, block_secs=1e-6)
    spoiled = sleep_on(copy.deepcopy(night), enough, dream=FakeDream(1.0, 0.5))
    assert spoiled.loss_after > 1.05 * spoiled.loss_before
    assert spoiled.outcome is SleepOutcome.ROLLED_BACK
    worse = sleep_on(copy.deepcopy(night), few, dream=FakeDream(-1.0, 0.0))
    assert worse.outcome is SleepOutcome.ROLLED_BACK


def test_training_ends_after_half_of_the_time_that_is_left_with_its_rate_at_its_end(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, shares = itertools.count(), []
    share_of = sleep._rate_share

    def noted(step: int, num_steps: int) -> float:
        shares.append(share_of(step, num_steps))
        return shares[-1]

    monkeypatch.setattr(sleep, "_rate_share", noted)
    plan = dataclasses.replace(PLAN, limit_secs=33.0)
    report = sleep_on(night, plan, clock=lambda: float(next(seconds)))
    assert report.outcome is SleepOutcome.ACCEPTED
    assert 12 <= report.num_steps == len(shares) <= 16
    assert shares[-1] < 0.1
    assert report.wall_secs < 33.0


def test_a_step_that_takes_all_of_the_time_is_the_only_one(night: Night) -> None:
    hours = itertools.count(step=3600)
    plan = dataclasses.replace(PLAN, limit_secs=600.0)
    assert sleep_on(night, plan, clock=lambda: float(next(hours))).num_steps == 1


@pytest.mark.parametrize(("where", "limit_secs"), [("process", 90.0), ("inline", None)])
def test_a_night_in_a_process_of_its_own_has_the_limit_of_its_run(where, limit_secs) -> None:
    """The loop's own thread has none, so that a run can be repeated."""
    section = SleepConfig(where=where, timeout_secs=90)
    assert SleepPlan.of(section, PracticeConfig(), num_segments=1, seed=0, tick=0).limit_secs == limit_secs


def test_the_candidate_is_the_average_over_a_share_of_the_steps(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sleep, "_rate_share", lambda step, num_steps: 1.0)

    def candidate(num_steps: int, ema_share: float) -> dict[str, torch.Tensor]:
        own = dataclasses.replace(night, model=copy.deepcopy(night.model))
        sleep_on(own, dataclasses.replace(PLAN, num_steps=num_steps, ema_share=ema_share))
        return {name: weight.detach() for name, weight in own.model.named_parameters()}

    first, second, mean = candidate(1, 0.0), candidate(2, 0.0), candidate(2, 1.0)
    assert not are_equal(first, second)
    for name, weight in mean.items():
        torch.testing.assert_close(weight, (first[name] + second[name]) / 2)


def test_elastic_weights_keep_the_candidate_near_the_weights_before_the_night(night: Night) -> None:
    def moved(ewc: float) -> float:
        own = dataclasses.replace(night, model=copy.deepcopy(night.model))
        sleep_on(own, dataclasses.replace(PLAN, num_steps=8, ewc=ewc))
        pairs = zip(own.model.parameters(), night.model.parameters())
        return sum(float((new - old).detach().square().sum()) for new, old in pairs)

    assert 0 < moved(1e6) < moved(0.0)
    assert SleepPlan.of(SleepConfig(ewc=3.0), PracticeConfig(), num_segments=1, seed=0, tick=0).ewc == 3.0
