"""`sage sweep`: settings searched, stopped and gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage.app.cli.main import invoke
from sage.app.models.training.space import read_sweep
from sage.app.terminal.errors import UserError

SWEEP = """
recipe: patterns
trials: 5
metric: cell
seed: 3
set: {preset: tiny, train.steps: 2, train.batch_size: 4, train.eval_examples: 8, train.eval_segments: [1]}
search:
  train.optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
  model.L_cycles: {low: 1, high: 3}
  train.q_weight: {choices: [0.1, 0.5]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pytest.importorskip("optuna", reason="optuna is not installed: the extra sweep")
    path = tmp_path / "search.yaml"
    path.write_text(SWEEP)
    return path


def _swept(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    capsys.readouterr()
    assert invoke(["sweep", *arguments, "--device", "cpu", "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_five_trials_are_run_kept_and_ranked(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _swept(capsys, str(file), "--out", str(tmp_path / "sweep"))
    trials = found["trials"]
    assert isinstance(trials, list)
    assert [trial["number"] for trial in trials] == list(range(5))
    assert len({trial["settings"]["train.optimizer.lr"] for trial in trials}) == 5
    assert all(
        trial["settings"]["model.L_cycles"] in (1, 2, 3) and 0 <= trial["value"] <= 1 for trial in trials
    )
    assert trials[found["best"]]["value"] == max(trial["value"] for trial in trials)  # type: ignore[call-overload]
    kept = json.loads((tmp_path / "sweep" / "trial-0002" / "recipe.json").read_text())
    assert kept["train"]["optimizer"]["lr"] == trials[2]["settings"]["train.optimizer.lr"]


def test_a_sweep_that_was_stopped_goes_on_as_if_it_had_not_been(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = _swept(capsys, str(file), "--trials", "4", "--out", str(tmp_path / "whole"))
    part = _swept(capsys, str(file), "--trials", "2", "--out", str(tmp_path / "parts"))
    assert len(part["trials"]) == 2  # type: ignore[arg-type]
    assert (
        _swept(capsys, str(file), "--trials", "4", "--out", str(tmp_path / "parts"))["trials"]
        == whole["trials"]
    )


def test_settings_that_cannot_be_trained_fail_their_trial_alone(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(
        SWEEP.replace("train.q_weight: {choices: [0.1, 0.5]}", "model.num_heads: {choices: [1, 7]}")
    )
    found = _swept(capsys, str(file), "--trials", "5", "--out", str(tmp_path / "sweep"))
    values = {trial["settings"]["model.num_heads"]: trial["value"] for trial in found["trials"]}  # type: ignore[attr-defined]
    assert values[1] is not None
    assert values.get(7) is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("trials: 5", "trails: 5", "trails: unknown key; did you mean trials?"),
        ("recipe: patterns", "recipe: paterns", "did you mean patterns?"),
        ("metric: cell", "metric: exakt", "metric is 'exakt': did you mean exact?"),
        ("low: 1, high: 3", "low: 3, high: 3", "search.model.L_cycles: 3 to 3: give low below high"),
        ("low: 1, high: 3", "lo: 1", "give {low: .., high: ..}"),
        ("model.L_cycles", "model.L_cylces", "did you mean model.L_cycles?"),
        ("1e-3, high: 1e-1", "0, high: 1e-1", "above 0 with log: true"),
    ],
)
def test_a_wrong_file_is_one_line(old: str, new: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    path.write_text(SWEEP.replace(old, new))
    with pytest.raises(UserError) as caught:
        read_sweep(path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_sweeps_folder_is_refused(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _swept(capsys, str(file), "--trials", "1", "--out", str(tmp_path / "sweep"))
    file.write_text(SWEEP.replace("seed: 3", "seed: 4"))
    assert invoke(["sweep", str(file), "--out", str(tmp_path / "sweep")]) == 2
    assert "contains another sweep (seed differs)" in capsys.readouterr().err
