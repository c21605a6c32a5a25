"""The GPU job that trains: its plumbing on a CPU, cut off, handed over and gone on with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

PROOF = Path(__file__).resolve().parents[2] / "implementation" / "gpu_proof"
SMALL = ("preset=tiny", "train.batch_size=4", "train.eval_examples=4", "train.eval_segments=[1]")


@pytest.fixture
def proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROOF))
    for name in ("training", "handover"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_job_goes_on_where_the_one_before_stopped(proof: None, tmp_path: Path) -> None:
    from training import Job, run_job  # type: ignore[import-not-found]

    def job(steps: int, segments: int, source: Path | None = None) -> Job:
        changes = (*SMALL, f"train.steps={steps}", f"model.halt_max_segments={segments}")
        return Job("patterns", changes, "cpu", 60.0, None, source, is_small=True)

    begun = run_job(job(3, 2), tmp_path / "first")
    ended = run_job(job(5, 4, tmp_path / "first" / "shards"), tmp_path / "second")
    assert (begun["step"], ended["begun_at"], ended["step"]) == (3, 3, 5)
    assert ended["step_wall_minutes_all_jobs"] > begun["step_wall_minutes_all_jobs"] > 0
    assert ended["shards"]["largest_bytes"] < 16 << 20
    assert ended["judged"]["evaluation"]["baselines"]
    assert ended["judged"]["search"]["tries"] == 2


def test_learned_deduction_goes_from_job_to_job(proof: None, tmp_path: Path) -> None:
    from training import FAKE, FAKE_MODELS, Job, run_job

    def job(steps: int, source: Path | None = None) -> Job:
        changes = (*FAKE_MODELS["deduce_gpu"], *FAKE, "train.bf16=true", f"train.steps={steps}")
        return Job("deduce_gpu", changes, "cpu", 60.0, None, source, is_small=True)

    begun = run_job(job(3), tmp_path / "first")
    ended = run_job(job(5, tmp_path / "first" / "shards"), tmp_path / "second")
    assert (begun["step"], ended["begun_at"], ended["step"]) == (3, 3, 5)
    assert ended["shards"]["largest_bytes"] < 16 << 20
    with_rules, without = ended["judged"]["chains"]
    assert (with_rules["has_rules"], with_rules["wrong"]) == (True, 0.0)
    assert not without["has_rules"]


def test_a_job_that_runs_out_of_time_leaves_shards(proof: None, tmp_path: Path) -> None:
    from training import Job, run_job

    facts = run_job(
        Job("patterns", (*SMALL, "train.steps=100000"), "cpu", 0.5, None, is_small=True), tmp_path
    )
    assert not facts["is_whole"]
    assert facts["reason"] == "interrupted"
    assert (tmp_path / "shards" / "handover.json").is_file()


def test_what_was_handed_over_has_the_very_weights(proof: None, tmp_path: Path) -> None:
    import handover  # type: ignore[import-not-found]
    import torch

    from sage.hrm_core.config.model import ModelConfig, TokenFront
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.training.checkpoints import read_checkpoint, resolve_checkpoint
    from sage.hrm_core.training.config import TrainConfig
    from sage.hrm_core.training.mirror_task import MirrorTask
    from sage.hrm_core.training.trainer import Trainer

    task, config = (
        MirrorTask(),
        TrainConfig(steps=2, batch_size=4, eval_examples=4, eval_segments=(1,), ema_decay=0.9),
    )
    front = TokenFront(vocab_size=task.spec.vocab_size, seq_len=task.spec.seq_len, positions="learned")

    def model() -> HRM:
        return HRM(ModelConfig.preset("tiny", front=front, hidden_size=16, mlp_multiple=16))

    Trainer(model(), task, config, folder=tmp_path / "run" / "checkpoints").train()
    handover.pack(tmp_path / "run", tmp_path / "shards")
    assert handover.unpack(tmp_path / "shards", tmp_path / "next", model(), task.spec, config) == 2
    before, after = (read_checkpoint(resolve_checkpoint(tmp_path / name)) for name in ("run", "next"))
    assert before.shared.keys() == after.shared.keys()
    assert all(torch.equal(before.shared[name], after.shared[name]) for name in before.shared)
    assert before.plain == after.plain
