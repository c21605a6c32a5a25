"""A run from end to end: it learns, can be interrupted anywhere, and names what failed."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sage.errors import InputError
from sage.hrm_core.evaluation.report import EvalReport
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.optim.ranks import Ranks
from sage.hrm_core.tasks.contract import Examples
from sage.hrm_core.training import resuming
from sage.hrm_core.training.callbacks import Progress
from sage.hrm_core.training.checkpoints import Checkpoint, CheckpointFolder, read_checkpoint
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.epoch import GENERATED_EPOCH
from sage.hrm_core.training.errors import LoaderError, ResumeError, TrainingDiverged
from sage.hrm_core.training.mirror_task import MirrorTask
from sage.hrm_core.training.stopping import StopRule
from sage.hrm_core.training.trainer import Trainer

Build = Callable[..., HRM]


class Diary:
    """Records its calls; may run a function at a step."""

    def __init__(self, at_step: int = -1, act: Callable[[], None] = lambda: None) -> None:
        self.losses: list[float] = []
        self.progress: list[Progress] = []
        self.evaluations: list[int] = []
        self.saves: list[tuple[int, bool]] = []
        self._at_step, self._act = at_step, act

    def on_step(self, progress: Progress) -> None:
        self.losses.append(progress.facts.figures["loss"])
        self.progress.append(progress)
        if progress.facts.step == self._at_step:
            self._act()

    def on_evaluation(self, step: int, report: EvalReport) -> None:
        self.evaluations.append(step)

    def on_save(self, step: int, path: Path, is_best: bool) -> None:
        self.saves.append((step, is_best))


def _weights(model: HRM) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in model.state_dict().values()]


def _equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(mine, theirs) for mine, theirs in zip(one, other))


def test_a_small_model_learns_to_mirror(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    config = dataclasses.replace(quick_config, steps=150, batch_size=32)
    result = Trainer(small_model(mirror, hidden_size=32), mirror, config).train()
    assert result.report is not None
    assert result.report.exact > 0.8
    assert result.report.exact > result.report.best_baseline.exact + 0.5
    assert result.reason == "all steps done"


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ({}, {}),
        ({"has_q_continue": True}, {}),
        ({"puzzles": 1}, {}),
        ({"damping": 0.05}, {"random_start": 1.0, "state_noise": 0.01}),
    ],
)
def test_an_interrupted_and_resumed_run_is_bit_identical(
    mirror: MirrorTask,
    small_model: Build,
    quick_config: TrainConfig,
    tmp_path: Path,
    changes: dict[str, object],
    settings: dict[str, Any],
) -> None:
    quick_config = dataclasses.replace(quick_config, **settings)
    whole = small_model(mirror, **changes)
    straight = Diary()
    Trainer(whole, mirror, quick_config, callbacks=[straight]).train()

    first = Diary(at_step=5, act=lambda: os.kill(os.getpid(), signal.SIGINT))
    result = Trainer(
        small_model(mirror, **changes), mirror, quick_config, folder=tmp_path, callbacks=[first]
    ).train()
    assert result.is_interrupted
    assert result.step == 5

    second, resumed = Diary(), small_model(mirror, **changes)
    result = Trainer(resumed, mirror, quick_config, folder=tmp_path, callbacks=[second]).train(resume=True)
    assert result.step == 12
    assert first.losses + second.losses == straight.losses
    assert _equal(_weights(resumed), _weights(whole))
    assert result.cpu_secs > 0


def test_a_model_with_boxes_resumes_and_so_does_a_checkpoint_older_than_a_setting(
    small_model: Build, quick_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = MirrorTask(seq_len=4)
    settings = {"mixer": "lines", "box": (1, 2)}
    Trainer(small_model(task, **settings), task, quick_config, folder=tmp_path).train(steps=2)

    def read_older(path: Path, ranks: Ranks) -> Checkpoint:
        checkpoint = read_checkpoint(path, ranks)
        del checkpoint.plain["model"]["q_source"]
        return checkpoint

    monkeypatch.setattr(resuming, "read_checkpoint", read_older)
    result = Trainer(small_model(task, **settings), task, quick_config, folder=tmp_path).train(
        resume=True, steps=3
    )
    assert result.step == 3
    with pytest.raises(ResumeError, match=r"model.box is \(1, 2\) in the checkpoint and None here"):
        Trainer(small_model(task, mixer="lines"), task, quick_config, folder=tmp_path).train(resume=True)


def test_two_runs_of_one_seed_are_equal_and_of_two_seeds_are_not(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    ends = []
    for seed in (3, 3, 4):
        model = small_model(mirror)
        Trainer(model, mirror, dataclasses.replace(quick_config, seed=seed, steps=4)).train()
        ends.append(_weights(model))
    assert _equal(ends[0], ends[1])
    assert not _equal(ends[0], ends[2])


def test_gradients_added_up_over_parts_are_those_of_the_whole_batch(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    diaries = []
    for num_parts in (1, 4):
        diary = Diary()
        config = dataclasses.replace(quick_config, micro_batches=num_parts)
        Trainer(small_model(mirror, halt_exploration=0.0), mirror, config, callbacks=[diary]).train()
        diaries.append(diary)
    np.testing.assert_allclose(diaries[0].losses, diaries[1].losses, rtol=1e-4)


def test_every_row_that_halts_takes_a_new_puzzle(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    diary = Diary()
    Trainer(small_model(mirror, halt_exploration=0.0), mirror, quick_config, callbacks=[diary]).train(steps=6)
    finished = [progress.facts.num_finished for progress in diary.progress]
    assert finished[0] == finished[1] == 0  # the Q head starts at -5: nobody halts before the third segment
    assert finished[2] == 8
    assert diary.progress[2].facts.figures["steps"] == 3


def test_last_and_best_are_kept_and_the_rest_deleted(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig, tmp_path: Path
) -> None:
    diary = Diary()
    config = dataclasses.replace(quick_config, eval_every=4, save_every=2)
    Trainer(small_model(mirror), mirror, config, folder=tmp_path, callbacks=[diary]).train()
    assert diary.evaluations == [4, 8, 12]
    assert [step for step, _ in diary.saves] == [2, 4, 6, 8, 10, 12]
    folder = CheckpointFolder(tmp_path)
    best = max(step for step, is_best in diary.saves if is_best)
    assert folder.find("last") == tmp_path / "step-00000012"
    assert folder.find("best") == tmp_path / f"step-{best:08d}"
    assert {path.name for path in tmp_path.glob("step-*")} == {"step-00000012", f"step-{best:08d}"}


def test_a_step_that_is_not_finite_is_skipped_and_counted(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, diary = small_model(mirror), Diary()
    segment, calls = model.segment, iter(range(100))

    def poisoned(*given: object) -> object:
        carry, output = segment(*given)  # type: ignore[arg-type]
        if next(calls) == 3:
            output = dataclasses.replace(output, q_halt=output.q_halt * torch.nan)  # type: ignore[operator]
        return carry, output

    monkeypatch.setattr(model, "segment", poisoned)
    config = dataclasses.replace(quick_config, steps=8, eval_segments=(1,))
    result = Trainer(model, mirror, config, callbacks=[diary]).train()
    assert result.num_bad_steps == 1
    assert [progress.facts.is_finite for progress in diary.progress] == [step != 4 for step in range(1, 9)]
    assert all(torch.isfinite(tensor).all() for tensor in _weights(model))


def test_a_run_that_stays_broken_names_the_last_good_checkpoint(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig, tmp_path: Path
) -> None:
    model = small_model(mirror)

    def poison() -> None:
        with torch.no_grad():
            model.inner.lm_head.weight.fill_(torch.nan)

    config = dataclasses.replace(quick_config, steps=40, save_every=2, max_bad_steps=3)
    trainer = Trainer(model, mirror, config, folder=tmp_path, callbacks=[Diary(at_step=4, act=poison)])
    with pytest.raises(
        TrainingDiverged, match=r"step 7: .* 3 steps in a row.*last good checkpoint is .*step-0000000"
    ):
        trainer.train()


def test_a_run_ends_when_training_rows_are_exact(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    config = dataclasses.replace(
        quick_config, steps=400, batch_size=32, stop_at_exact=0.5, stop_window=5, eval_segments=(1,)
    )
    result = Trainer(small_model(mirror, hidden_size=32), mirror, config).train()
    assert result.step < 400
    assert "are exact" in result.reason


def test_a_run_ends_when_the_q_head_diverges(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    config = dataclasses.replace(quick_config, stop_at_q_loss=1e-6, stop_window=3)
    result = Trainer(small_model(mirror), mirror, config).train()
    assert result.step == 3
    assert "Q loss diverged" in result.reason


def test_a_run_ends_when_its_cpu_time_is_spent(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    result = Trainer(
        small_model(mirror), mirror, dataclasses.replace(quick_config, max_cpu_secs=1e-9)
    ).train()
    assert result.step == 1
    assert "CPU seconds" in result.reason


def test_a_callback_that_fails_is_dropped_and_the_run_continues(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    def fail() -> None:
        raise RuntimeError("the disk is full")

    broken, other = Diary(at_step=2, act=fail), Diary()
    Trainer(small_model(mirror), mirror, quick_config, callbacks=[broken, other]).train()
    assert len(broken.losses) == 2
    assert len(other.losses) == 12


def test_epochs_are_counted_as_the_published_trainer_counts_them(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    config = dataclasses.replace(quick_config, steps=None, examples_per_epoch=20)
    assert Trainer(small_model(mirror), mirror, config).train(epochs=3, batch_size=8).step == 7


def test_an_epoch_of_generated_puzzles_is_a_stated_number(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    assert GENERATED_EPOCH == 1000
    assert Trainer(small_model(mirror), mirror, quick_config).train(epochs=0.05, batch_size=10).step == 5


class GlobalDraws:
    """Draws from torch's and numpy's global generators after every step, as a plug-in may."""

    def __init__(self) -> None:
        self.draws: list[tuple[float, float]] = []

    def on_step(self, progress: Progress) -> None:
        self.draws.append((torch.rand(1).item(), float(np.random.rand())))  # noqa: NPY002

    def on_evaluation(self, step: int, report: EvalReport) -> None: ...
    def on_save(self, step: int, path: Path, is_best: bool) -> None: ...


def test_a_resumed_run_restores_the_global_generators_of_torch_and_numpy(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig, tmp_path: Path
) -> None:
    def run(steps: int, callback: GlobalDraws, *, resume: bool) -> None:
        trainer = Trainer(
            small_model(mirror), mirror, quick_config, folder=tmp_path / "run", callbacks=[callback]
        )
        trainer.train(steps=steps, resume=resume)

    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    draws = GlobalDraws()
    run(3, draws, resume=False)
    expected = torch.rand(1).item(), float(np.random.rand())  # noqa: NPY002  what a fourth step would draw
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    resumed = GlobalDraws()
    run(4, resumed, resume=True)
    assert resumed.draws == [expected]
    assert expected not in draws.draws


def test_a_refused_resume_leaves_the_global_generator_unchanged(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig, tmp_path: Path
) -> None:
    Trainer(small_model(mirror), mirror, quick_config, folder=tmp_path).train(steps=2)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    with pytest.raises(ResumeError):
        Trainer(small_model(mirror), mirror, dataclasses.replace(quick_config, seed=1)).train(resume=tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


class SignallingTask(MirrorTask):
    """Sends SIGTERM while a chosen block is drawn, then waits: only a signal ends the wait for its rows."""

    def __init__(self, at_block: int) -> None:
        super().__init__()
        self.at_block = at_block
        self.released = threading.Event()
        self._num_blocks = 0

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        self._num_blocks += 1
        if self._num_blocks == self.at_block:
            os.kill(os.getpid(), signal.SIGTERM)
            self.released.wait(60)
        return super().sample(num, rng)


def test_a_signal_ends_the_wait_for_rows_and_the_run_resumes_to_the_same_bits(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig, tmp_path: Path
) -> None:
    whole = small_model(mirror, halt_max_segments=1)
    Trainer(whole, mirror, quick_config).train()
    task = SignallingTask(at_block=6)  # every step takes a block, at most four are drawn ahead
    result = Trainer(small_model(mirror, halt_max_segments=1), task, quick_config, folder=tmp_path).train()
    task.released.set()
    assert result.is_interrupted
    assert 0 < result.step < 12
    resumed = small_model(mirror, halt_max_segments=1)
    assert Trainer(resumed, mirror, quick_config, folder=tmp_path).train(resume=True).step == 12
    assert _equal(_weights(resumed), _weights(whole))


@pytest.mark.parametrize("at_step", [4, 12])
def test_a_signal_ends_an_evaluation_and_the_resumed_run_repeats_it(
    mirror: MirrorTask,
    small_model: Build,
    quick_config: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_step: int,
) -> None:
    config = dataclasses.replace(quick_config, eval_every=4)
    whole, straight = small_model(mirror), Diary()
    expected = Trainer(whole, mirror, config, callbacks=[straight]).train()
    held_out = mirror.held_out
    evaluated: list[int] = []

    def interrupted(num: int) -> Examples:
        evaluated.append(num)
        if len(evaluated) == at_step // 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return held_out(num)

    with monkeypatch.context() as patch:
        patch.setattr(mirror, "held_out", interrupted)
        first = Diary()
        result = Trainer(small_model(mirror), mirror, config, folder=tmp_path, callbacks=[first]).train()
    assert result.is_interrupted
    assert result.step == at_step
    assert at_step not in first.evaluations
    second, resumed = Diary(), small_model(mirror)
    result = Trainer(resumed, mirror, config, folder=tmp_path, callbacks=[second]).train(resume=True)
    assert first.evaluations + second.evaluations == straight.evaluations
    assert (result.best_step, result.best_score) == (expected.best_step, expected.best_score)
    assert _equal(_weights(resumed), _weights(whole))


@pytest.mark.parametrize(
    ("at_step", "settings"),
    [(12, {}), (3, {"stop_at_exact": 0.5, "stop_window": 3})],
)
def test_a_signal_in_the_last_step_leaves_its_evaluation_to_the_resumed_run(
    mirror: MirrorTask,
    small_model: Build,
    quick_config: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_step: int,
    settings: dict[str, Any],
) -> None:
    config = dataclasses.replace(quick_config, **settings)
    monkeypatch.setattr(StopRule, "train_exact", 1.0)
    first = Diary(at_step=at_step, act=lambda: os.kill(os.getpid(), signal.SIGTERM))
    result = Trainer(small_model(mirror), mirror, config, folder=tmp_path, callbacks=[first]).train()
    assert (result.step, result.is_interrupted, first.evaluations) == (at_step, True, [])
    second = Diary()
    trainer = Trainer(small_model(mirror), mirror, config, folder=tmp_path, callbacks=[second])
    result = trainer.train(resume=True)
    assert (result.step, result.is_interrupted, second.evaluations) == (at_step, False, [at_step])
    assert result.best_step == at_step


def test_a_run_ends_when_its_caller_stops_it(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    stop = threading.Event()
    trainer = Trainer(
        small_model(mirror),
        mirror,
        quick_config,
        callbacks=[Diary(at_step=3, act=stop.set)],
        stop=stop.is_set,
    )
    result = trainer.train()
    assert result.is_interrupted
    assert result.step == 3


def test_bf16_trains_every_weight_that_fp32_trains(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    for gradient in ("one_step", "full"):
        model = small_model(mirror, gradient=gradient, H_cycles=2)
        before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        Trainer(model, mirror, dataclasses.replace(quick_config, bf16=True, steps=2, ema_decay=None)).train()
        assert not [
            name for name, weight in model.named_parameters() if torch.equal(weight.detach(), before[name])
        ]


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False)])
def test_a_resumed_run_computes_in_the_dtype_that_it_is_given(
    mirror: MirrorTask,
    small_model: Build,
    quick_config: TrainConfig,
    tmp_path: Path,
    before: bool,
    after: bool,
) -> None:
    config = dataclasses.replace(quick_config, bf16=before, steps=2)
    Trainer(small_model(mirror), mirror, config, folder=tmp_path).train()
    config = dataclasses.replace(quick_config, bf16=after, steps=4)
    Trainer(small_model(mirror), mirror, config, folder=tmp_path).train(resume=True)
    path = CheckpointFolder(tmp_path).find()
    assert path is not None
    rows = read_checkpoint(path).rows
    dtype = torch.bfloat16 if after else torch.float32
    assert (rows["z_H"].dtype, rows["z_L"].dtype) == (dtype, dtype)


def test_a_task_without_identities_trains_the_one_row_of_a_puzzle_table(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    model = small_model(mirror, puzzles=1)
    Trainer(model, mirror, quick_config).train(steps=3)
    assert model.inner.puzzle_emb.weights.abs().sum() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 16}, "batch_size is 8 in the checkpoint and 16 here"),
        ({"seed": 9}, "seed is 0 in the checkpoint and 9 here"),
        ({"ema_decay": None}, "ema_decay is 0.9 in the checkpoint and None here"),
        ({"optimizer": OptimizerConfig(kind="adamw")}, "optimizer.kind is 'muon' in the checkpoint"),
    ],
)
def test_a_run_with_other_settings_cannot_resume_from_a_checkpoint(
    mirror: MirrorTask,
    small_model: Build,
    quick_config: TrainConfig,
    tmp_path: Path,
    change: dict[str, Any],
    message: str,
) -> None:
    Trainer(small_model(mirror), mirror, quick_config, folder=tmp_path).train(steps=2)
    other = dataclasses.replace(quick_config, **change)
    with pytest.raises(ResumeError, match=message):
        Trainer(small_model(mirror), mirror, other, folder=tmp_path).check(resume=True)
    with pytest.raises(ResumeError, match=message):
        Trainer(small_model(mirror), mirror, other).train(resume=tmp_path)
    with pytest.raises(ResumeError, match=r"model.H_cycles is 1 in the checkpoint and 2 here"):
        Trainer(small_model(mirror, H_cycles=2), mirror, quick_config).train(resume=tmp_path)
    with pytest.raises(ResumeError, match=r"model.front.num_puzzle_ids is 0 in the checkpoint and 1 here"):
        Trainer(small_model(mirror, puzzles=1), mirror, quick_config).train(resume=tmp_path)
    with pytest.raises(ResumeError, match="contains no checkpoint"):
        Trainer(small_model(mirror), mirror, quick_config).train(resume=tmp_path.parent)


def test_a_model_of_another_shape_is_refused(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig
) -> None:
    other = MirrorTask(seq_len=5)
    with pytest.raises(ValueError, match="seq_len of the model is 6, of task mirror 5"):
        Trainer(small_model(mirror), other, quick_config).train()


class FailingTask(MirrorTask):
    """Has no held-out puzzles, or draws no row from a block on."""

    def __init__(self, *, has_held_out: bool = True, last_block: int = 1000) -> None:
        super().__init__()
        self._has_held_out, self._num_left = has_held_out, last_block

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        self._num_left -= 1
        if self._num_left < 0:
            raise ValueError("the well is dry")
        return super().sample(num, rng)

    def held_out(self, num: int) -> Examples:
        return super().held_out(num if self._has_held_out else 0)


@pytest.mark.parametrize(
    ("task", "steps", "error", "message"),
    [
        (FailingTask(has_held_out=False), 12, InputError, "task mirror has no held-out puzzles: give"),
        (FailingTask(last_block=5), 5, LoaderError, "failed to draw training rows: the well is dry"),
    ],
)
def test_what_a_task_raises_costs_no_step(
    mirror: MirrorTask,
    small_model: Build,
    quick_config: TrainConfig,
    tmp_path: Path,
    task: MirrorTask,
    steps: int,
    error: type[Exception],
    message: str,
) -> None:
    whole = small_model(mirror, halt_max_segments=1)
    expected = Trainer(whole, mirror, quick_config).train()
    with pytest.raises(error, match=message):
        Trainer(small_model(mirror, halt_max_segments=1), task, quick_config, folder=tmp_path).train()
    assert CheckpointFolder(tmp_path).find() == tmp_path / f"step-{steps:08d}"
    resumed = small_model(mirror, halt_max_segments=1)
    result = Trainer(resumed, mirror, quick_config, folder=tmp_path).train(resume=True)
    assert _equal(_weights(resumed), _weights(whole))
    assert result.report == expected.report
    assert result.best_step == 12


def test_a_task_without_held_out_puzzles_is_refused_before_the_first_step(
    small_model: Build, quick_config: TrainConfig
) -> None:
    task = FailingTask(has_held_out=False)
    with pytest.raises(InputError, match="no held-out puzzles"):
        Trainer(small_model(task), task, quick_config).check()


@pytest.mark.parametrize("signalled", [4, 100])
def test_a_signal_to_another_process_ends_this_one_alike(
    mirror: MirrorTask, small_model: Build, quick_config: TrainConfig, tmp_path: Path, signalled: int
) -> None:
    calls: list[bool] = []

    class Others(Ranks):
        def any(self, is_true: bool) -> bool:
            calls.append(is_true)
            return is_true or len(calls) >= signalled

    diary = Diary()
    trainer = Trainer(small_model(mirror), mirror, quick_config, folder=tmp_path, callbacks=[diary])
    trainer._ranks = Others()
    result = trainer.train()
    assert not any(calls)
    if signalled == 4:  # a process that evaluated would wait for the other one, which saves
        assert (result.step, result.is_interrupted, diary.evaluations) == (3, True, [])
    else:
        assert (result.step, result.is_interrupted, diary.evaluations) == (12, False, [12])
    assert CheckpointFolder(tmp_path).find() == tmp_path / f"step-{result.step:08d}"
