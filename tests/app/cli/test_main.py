"""The command line as a person meets it: help, versions, exit codes, interruptions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sage
from sage.app.cli import main as cli
from sage.app.cli.main import invoke

COMMANDS = (
    "run",
    "report",
    "doctor",
    "config",
    "sensors",
    "store",
    "bench",
    "sleep",
    "mailbox",
    "tasks",
    "train",
    "eval",
    "sweep",
    "solve",
    "generate",
    "serve",
    "export",
    "plot",
    "data",
    "model",
    "hub",
    "demo",
)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {command} " in printed for command in COMMANDS)


def test_an_account_without_a_home_folder_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A container of a number without a name, a service without HOME."""

    def no_home(name: str) -> str:
        raise RuntimeError("could not determine the home directory for '~/.local/state'")

    monkeypatch.setattr("platformdirs.user_state_dir", no_home)
    assert invoke(["status"]) == 2
    assert "no home folder: set HOME" in capsys.readouterr().err


@pytest.mark.parametrize("group", ["", "config", "sensors", "store"])
def test_a_group_without_a_command_prints_its_help(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(group.split()) == 0
    assert "Commands:" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--version"]) == 0
    assert capsys.readouterr().out == f"sage {sage.__version__}\n"


def test_config_show_prints_what_can_be_read_back(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert invoke(["config", "show", "default", "--set", "seed=3"]) == 0
    path = tmp_path / "shown.yaml"
    path.write_text(capsys.readouterr().out)
    assert invoke(["config", "check", str(path)]) == 0
    assert "valid: 9 of 11 sensors enabled" in capsys.readouterr().out


def test_config_show_as_json_holds_the_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["config", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["config"]["name"] == "default"
    assert len(shown["hash"]) == 16


def test_sensors_list_names_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["sensors", "list", "--json"]) == 0
    kinds = {kind["kind"]: kind for kind in json.loads(capsys.readouterr().out)}
    assert {"audio", "clock", "host", "memory", "synthetic", "table", "video"} <= set(kinds)
    assert all(kind["about"] for kind in kinds.values())
    assert "period_secs" in kinds["host"]["keys"]
    assert invoke(["sensors", "list"]) == 0


def test_an_interruption_ends_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sage.app.devices.kinds.describe_kinds", interrupt)
    assert invoke(["sensors", "list"]) == 130
    assert capsys.readouterr().err == "sage: interrupted\n"


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("sage.app.devices.kinds.describe_kinds", fail)
    with pytest.raises(ZeroDivisionError):
        invoke(["sensors", "list"])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"),
    ],
    ids=["Python", "torch", "CUDA"],
)
def test_too_little_memory_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("sage.app.devices.kinds.describe_kinds", fail)
    assert invoke(["sensors", "list"]) == 2
    assert capsys.readouterr().err == "sage: not enough memory: give a smaller model, batch or data set\n"


@pytest.mark.parametrize("words", ["run default --ticks 1 --no-live", "solve sudoku .4..1.42.23....."])
def test_a_missing_torch_is_one_line_with_the_remedy(words: str, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "sage", *words.split()],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("sage: torch is not installed: start ./scripts/run")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_fault() -> None:
    code = "from sage.app.cli.main import main; import sys; sys.argv = ['sage', 'config', 'show']; main()"
    shown = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert shown.stdout is not None
    assert shown.stderr is not None
    shown.stdout.close()
    assert shown.stderr.read() == b""
    shown.stderr.close()
    assert shown.wait(timeout=60) in (0, 1)


def test_bench_runs_the_named_file_with_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "echo.py"
    script.write_text(
        "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(' '.join(sys.argv[2:])); sys.exit(1)"
    )
    monkeypatch.setattr("sage.app.cli.bench.find_benchmarks", lambda: {"echo": script})
    out = tmp_path / "out"
    assert invoke(["bench", "echo", str(out), "--quick", "--n", "3"]) == 1
    assert out.read_text() == "--quick --n 3"


def test_bench_outside_a_checkout_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sage.about.PACKAGE_DIR", Path("/nowhere/site-packages/sage"))
    assert invoke(["bench", "loop"]) == 2
    assert "run it from a checkout of the repository" in capsys.readouterr().err


def test_the_version_of_the_metadata_is_the_packages() -> None:
    from importlib.metadata import version

    assert version("sage-runtime") == sage.__version__


def test_doctor_says_what_a_run_would_choose(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert invoke(["doctor", "--json", "--state-dir", str(tmp_path / "kept")]) == 0
    findings = {finding["topic"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert {
        "python",
        "torch",
        "device",
        "attention",
        "threads",
        "state dir",
        "disk",
        "sensor host",
        "extra cuda",
    } <= set(findings)
    assert findings["device"]["why"]
    assert findings["state dir"]["found"] == str(tmp_path / "kept")
    assert invoke(["doctor", "--state-dir", str(tmp_path / "kept")]) == 0


def test_doctor_fails_where_a_run_would(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert invoke(["doctor", "--json", "--state-dir", str(tmp_path / "file")]) == 1
    state_dir = next(
        finding for finding in json.loads(capsys.readouterr().out) if finding["topic"] == "state dir"
    )
    assert "not a directory" in state_dir["why"]


def test_the_entry_point_sets_the_threads_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    seen = []
    monkeypatch.setattr(cli, "invoke", lambda arguments: seen.append(os.environ["OMP_WAIT_POLICY"]) or 0)
    monkeypatch.setattr(sys, "argv", ["sage"])
    with pytest.raises(SystemExit):
        cli.main()
    assert seen == ["PASSIVE"]
