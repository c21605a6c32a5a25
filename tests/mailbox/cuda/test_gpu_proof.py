"""scripts/gpu_proof without a GPU: it prints one line; its steps run on a fake device."""

import json
import os
import subprocess
import sys

import pytest

from sage.mailbox.cuda import why_no_cuda

SLOW_STEP = "import threading\nthreading.Event().wait(60)\n"
SILENT_STEP = "print('no verdict')\n"


@pytest.fixture
def prove(repository, tmp_path):
    def run(*arguments, script=None):
        environment = {**os.environ, "OUT": str(tmp_path / "out"), "SAGE_PYTHON": sys.executable}
        command = [str(script or repository / "scripts" / "gpu_proof"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return run


@pytest.mark.skipif(why_no_cuda() is None, reason="this machine has a GPU: run scripts/gpu_proof itself")
def test_without_a_gpu_it_names_the_requirement_and_leaves_no_files(prove, tmp_path):
    done = prove()
    assert done.returncode == 3
    (line,) = done.stdout.splitlines()
    assert "it needs a machine with an NVIDIA GPU" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.torch
def test_the_plumbing_runs_on_a_fake_device(prove, tmp_path):
    done = prove("--fake", "environment", "mailbox", "ipc", "unified", "sanitizer", "trust", "training")
    assert done.returncode == 0, done.stdout
    whole = json.loads(done.stdout.splitlines()[-1])
    assert whole["proof"] == "fake"
    passed = ("environment", "mailbox", "ipc", "unified", "trust")
    assert {name: whole["outcomes"][name] for name in (*passed, "sanitizer")} == {
        **dict.fromkeys(passed, "passed"), "sanitizer": "absent",
    }  # fmt: skip
    assert json.loads((tmp_path / "out" / "proof.json").read_text()) == whole
    assert {path.name for path in (tmp_path / "out").glob("*.log")} >= {"mailbox.log", "ipc.log"}


def test_a_step_that_hangs_or_says_nothing_fails_alone(repository, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "implementation" / "gpu_proof"))
    import proof
    from steps import Step

    monkeypatch.setattr(proof, "HERE", tmp_path)
    (tmp_path / "step_slow.py").write_text(SLOW_STEP)
    (tmp_path / "step_silent.py").write_text(SILENT_STEP)
    environment = dict(os.environ)
    slow = proof._run(Step("slow", 1, ""), tmp_path, environment, 100.0, is_fake=True)
    silent = proof._run(Step("silent", 30, ""), tmp_path, environment, 100.0, is_fake=True)
    missing = proof._run(Step("missing", 30, ""), tmp_path, environment, 100.0, is_fake=True)
    late = proof._run(Step("silent", 30, ""), tmp_path, environment, 1.0, is_fake=True)
    assert (slow["outcome"], "not done within 1 s" in slow["reason"]) == ("failed", True)
    assert (silent["outcome"], "without a verdict" in silent["reason"]) == ("failed", True)
    assert (missing["outcome"], late["outcome"]) == ("absent", "absent")


def test_a_step_that_does_not_exist_is_named(prove):
    done = prove("--fake", "mailbx")
    assert done.returncode == 2
    assert "mailbx" in done.stderr


def test_all_time_limits_fit_one_call(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "implementation" / "gpu_proof"))
    from steps import STEPS, TOTAL_SECS

    assert sum(step.limit_secs for step in STEPS) <= TOTAL_SECS <= 600
