from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor
from typer.testing import CliRunner

from sage.app.cli.main import app, invoke
from sage.app.config.state_dir import locked
from sage.durable import checked_json, read_json
from sage.errors import DataError, InputError
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.model_family import family_of, weights_digest
from sage.hrm_core.tasks.address import TaskAddress, address_for
from sage.hrm_core.tasks.contract import Task
from sage.mailbox.shared.memory.identity import my_identity
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.report import SleepOutcome, to_plain
from sage.runtime.sleep.puzzles.candidate import FILE, read_candidate
from sage.runtime.sleep.puzzles.process.job import (
    CANDIDATE,
    REPORT,
    examine,
    is_solver_job,
    open_folder,
    read_solver_job,
    sleep_on_folder,
)
from sage.runtime.sleep.puzzles.process.plan import (
    JOB,
    KEYS,
    TrainerJob,
    TrainerSetup,
    read_job,
    read_link,
    write_job,
)
from sage.runtime.sleep.puzzles.store import WEIGHTS, TrainerStore, load_weights, save_weights
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer
from tests.runtime.sleep.puzzles.conftest import NAMES, Feed


@pytest.fixture(autouse=True)
def _no_nice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A night in this process does not slow the tests after it."""
    monkeypatch.setattr(os, "nice", lambda _: 0)


def _folder(
    tasks: list[Task], feed: Feed, folder: Path, weights: dict[str, Tensor] | None = None, **settings: Any
) -> Path:
    """What a run leaves that answered 200 puzzles."""
    config = SolverTrainingConfig.model_validate({"min_examined": 4, "night_steps": 2, **settings})
    family = family_of("sudoku", [tasks[0].spec])
    setup = TrainerSetup(
        stream="puzzles",
        names=NAMES[:1],
        tasks=(tasks[0],),
        configs=family.configs,
        config=config,
        seed=0,
    )
    folder.mkdir(parents=True)
    store = TrainerStore(folder, setup.build(), run=3)
    for number, experience in enumerate(feed(200), start=1):
        store.note(number, experience)
    store.close()
    save_weights(folder / WEIGHTS, family.weights() if weights is None else weights, num_steps=5)
    write_job(folder, TrainerJob(setup=setup, parent=my_identity()))
    return folder


def test_a_job_is_read_as_it_was_written(tasks: list[Task], feed: Feed, tmp_path: Path) -> None:
    folder = _folder(tasks, feed, tmp_path / "trainer", night_steps=7)
    assert is_solver_job(folder)
    setup = read_solver_job(folder)
    assert setup.names == NAMES[:1]
    assert setup.config.night_steps == 7
    assert setup.tasks[0].spec == tasks[0].spec
    assert not is_solver_job(tmp_path)


def test_an_examination_writes_nothing(
    tasks: list[Task], feed: Feed, tmp_path: Path, shipped_weights: dict[str, Tensor]
) -> None:
    folder = _folder(tasks, feed, tmp_path / "trainer", shipped_weights)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (share,) = examine(folder)
    assert share.level == NAMES[0]
    assert share.num >= 8
    assert share.low < share.solved
    assert share.solved > 0.8
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_night_of_a_folder_writes_a_report_and_leaves_the_weights(
    tasks: list[Task], feed: Feed, tmp_path: Path
) -> None:
    folder = _folder(tasks, feed, tmp_path / "trainer")
    before = (folder / WEIGHTS).read_bytes()
    report = sleep_on_folder(folder, open_folder(folder))
    assert report.num_steps == 2
    assert (folder / WEIGHTS).read_bytes() == before
    assert json.loads((folder / REPORT).read_text())["stream"] == "puzzles"
    assert (folder / CANDIDATE).exists() == (report.outcome is SleepOutcome.ACCEPTED)


def test_an_accepted_candidate_is_a_model_folder_and_what_the_next_run_takes(
    tasks: list[Task], feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sage.runtime.sleep.puzzles import trainer

    original = trainer.PuzzleTrainer.advance_night

    def accepted(self: Any) -> Any:
        offer = original(self)
        if offer is None:
            return None
        assert offer.report is not None
        report = dataclasses.replace(offer.report, outcome=SleepOutcome.ACCEPTED)
        return dataclasses.replace(offer, report=report)

    monkeypatch.setattr(trainer.PuzzleTrainer, "advance_night", accepted)
    folder = _folder(tasks, feed, tmp_path / "trainer")
    report = sleep_on_folder(folder, open_folder(folder))
    model = HRM.from_pretrained(folder / CANDIDATE)
    assert model.config.mixer == "lines"
    candidate = read_candidate(folder)
    assert to_plain(candidate.report) == to_plain(report)
    assert candidate.made_from == weights_digest(load_weights(folder / WEIGHTS)[0])
    assert weights_digest(candidate.weights) == weights_digest(model.state_dict())
    open_folder(folder)
    assert not (folder / FILE).exists()


def test_what_is_no_job_is_refused(tasks: list[Task], feed: Feed, tmp_path: Path) -> None:
    folder = _folder(tasks, feed, tmp_path / "trainer")
    plain = read_json(folder / JOB, plain_keys=KEYS)
    (folder / JOB).write_text(json.dumps({**plain, "tasks": [None]}))
    with pytest.raises(InputError, match="not of the catalogue"):
        read_solver_job(folder)
    (folder / JOB).write_text(json.dumps({**plain, "schema": "solver_job/9"}))
    with pytest.raises(DataError, match="solver_job/9"):
        read_solver_job(folder)
    (folder / JOB).write_text(json.dumps({**plain, "parent": _other_process()}))
    with pytest.raises(InputError, match="a run uses it"):
        read_solver_job(folder)
    del plain["names"]
    (folder / JOB).write_text(json.dumps(plain))
    with pytest.raises(DataError, match="is damaged"):
        read_solver_job(folder)


def test_tasks_are_made_again_from_their_addresses(tasks: list[Task], tmp_path: Path) -> None:
    family = family_of("sudoku", [tasks[0].spec])

    class Own:  # of no catalogue
        spec = tasks[0].spec

    def setup(*addresses: TaskAddress) -> TrainerSetup:
        own: Any = Own()
        return TrainerSetup(
            stream="puzzles",
            names=NAMES[:1],
            tasks=(own,),
            addresses=addresses,
            configs=family.configs,
            config=SolverTrainingConfig(),
            seed=0,
        )

    assert setup().level_without_address() == NAMES[0]
    named = setup(address_for("sudoku", {"size": 4, "givens": [4, 6]}))
    assert named.level_without_address() is None
    write_job(tmp_path, TrainerJob(setup=named, parent=my_identity()))
    again = read_job(tmp_path)
    assert again.link is None
    assert again.setup.tasks[0].config.givens == (4, 6)  # type: ignore[attr-defined]
    assert b"pickle" not in (tmp_path / JOB).read_bytes()
    with pytest.raises(DataError, match="is damaged"):
        read_link(tmp_path)

    lines = tmp_path / "train.csv"
    lines.write_text("source,question,answer,rating\na,12.43412214343..,1234341221434321,0\n")
    of_file = setup(address_for("sudoku", {"size": 4, "train": str(lines)}))
    write_job(tmp_path, TrainerJob(setup=of_file, parent=my_identity()))
    task = read_solver_job(tmp_path).tasks[0]
    examples = task.sample(2, np.random.default_rng(0))
    assert task.verify(examples.inputs, examples.labels).all()
    lines.write_text(lines.read_text() + "b,1234341221434...,1234341221434321,0\n")
    with pytest.raises(DataError, match=r"train\.csv: SHA-256 is .* was recorded: restore") as raised:
        read_solver_job(tmp_path)
    assert "\n" not in str(raised.value)
    lines.unlink()
    with pytest.raises(DataError, match=r"train\.csv: cannot be read"):
        read_solver_job(tmp_path)


def _other_process() -> int:
    import os

    from sage.mailbox.shared.memory.identity import identity_of

    found = identity_of(os.getppid())
    assert found is not None
    return found


def test_sage_sleep_examines_a_state_directory(
    tasks: list[Task], feed: Feed, tmp_path: Path, shipped_weights: dict[str, Tensor]
) -> None:
    _folder(tasks, feed, tmp_path / "state" / "solving" / "puzzles", shipped_weights)
    result = CliRunner().invoke(app, ["sleep", str(tmp_path / "state"), "--examine"])
    assert result.exit_code == 0, result.output
    assert "puzzles, sudoku 4x4: " in result.output
    assert "held-out puzzles solved, 95% interval" in result.output


def test_sage_sleep_prints_a_line_for_each_night_and_json_where_it_is_asked_for(
    tasks: list[Task], feed: Feed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _folder(tasks, feed, tmp_path / "puzzles", num_asked=4, max_asked=4)
    assert invoke(["sleep", str(folder)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    report = json.loads((folder / REPORT).read_text())
    assert line.startswith(
        f"stream puzzles: {report['outcome'].replace('_', ' ')} ({report['reason']}); 2 steps; "
    )
    assert line.count("gain ") == line.count(" points, 90% interval ") == 1
    assert line.endswith(" s")
    assert invoke(["sleep", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"folder": str(folder), **found} == found
    assert found["num_steps"] == 2
    assert set(report) - set(found) <= {"checksum"}
    assert invoke(["sleep", str(folder), "--examine", "--json"]) == 0
    shares = json.loads(capsys.readouterr().out)["levels"]
    assert [(share["level"], share["num"] > 0) for share in shares] == [(NAMES[0], True)]


def test_sage_sleep_of_two_folders_is_one_json_document(
    tasks: list[Task], feed: Feed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [_folder(tasks, feed, tmp_path / name) for name in ("a", "b")]
    assert invoke(["sleep", str(tmp_path), "--examine", "--json"]) == 0
    assert [each["folder"] for each in json.loads(capsys.readouterr().out)] == list(map(str, folders))


def test_sage_sleep_without_a_job_is_refused_in_one_line(tmp_path: Path) -> None:
    for folder, message in ((tmp_path / "none", "no such folder"), (tmp_path, "job.json is missing")):
        result = CliRunner().invoke(app, ["sleep", str(folder)])
        assert result.exit_code != 0
        assert message in str(result.exception) + result.output


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b"[" * 100_000,
        checked_json({"schema": "solver_job/1", "parent": 1}),
        checked_json({"schema": "observation", "loss": 5}),
    ],
)
def test_sage_sleep_of_a_wrong_job_is_one_line(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / JOB).write_bytes(content)
    assert invoke(["sleep", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_parent_that_is_text_is_damage(tasks: list[Task], feed: Feed, tmp_path: Path) -> None:
    folder = _folder(tasks, feed, tmp_path / "trainer")
    plain = read_json(folder / JOB, plain_keys=KEYS)
    (folder / JOB).write_bytes(checked_json({**plain, "parent": "mother"}))
    with pytest.raises(DataError, match="parent is 'mother'"):
        read_solver_job(folder)


def test_a_bad_folder_of_a_state_directory_does_not_stop_the_other_nights(
    tasks: list[Task], feed: Feed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _folder(tasks, feed, tmp_path / "solving" / "puzzles")
    (tmp_path / "solving" / "a").mkdir()
    (tmp_path / "solving" / "a" / JOB).write_text("{}")
    assert invoke(["sleep", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    assert line.startswith("stream puzzles: ")
    assert captured.err.count("\n") == 1
    assert "solving/a" in captured.err


@pytest.mark.parametrize("given", ["", "solving", "solving/puzzles"])
def test_no_night_of_a_state_directory_runs_beside_a_session(
    tasks: list[Task], feed: Feed, tmp_path: Path, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _folder(tasks, feed, tmp_path / "solving" / "puzzles")
    with locked(tmp_path):
        assert invoke(["sleep", str(tmp_path / given)]) == 2
    assert "another session is running here" in capsys.readouterr().err
    assert not (folder / REPORT).exists()


def test_a_night_begins_without_the_report_and_the_candidate_of_the_last_one(
    tasks: list[Task], feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _folder(tasks, feed, tmp_path / "trainer")
    (folder / REPORT).write_text("{}")
    (folder / CANDIDATE).mkdir()
    (folder / CANDIDATE / "model.safetensors").write_bytes(b"")

    def killed(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PuzzleTrainer, "advance_night", killed)
    with pytest.raises(KeyboardInterrupt):
        sleep_on_folder(folder, open_folder(folder))
    assert not (folder / REPORT).exists()
    assert not (folder / CANDIDATE).exists()


#: `sage`, in which the second process kills itself in the middle of its first night, once.
_DEADLY = """
import os, signal
from sage.app.cli.main import main
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer

advance, calls = PuzzleTrainer.advance_night, []

def deadly(self):
    calls.append(None)
    if len(calls) == 3 and os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    return advance(self)

PuzzleTrainer.advance_night = deadly
main()
"""


def _left_by_a_run(folder: Path) -> Path:
    """The folder, whose run is over."""
    identity = "from sage.mailbox.shared.memory.identity import my_identity; print(my_identity())"
    ended = subprocess.run([sys.executable, "-c", identity], capture_output=True, text=True, check=True)
    plain = read_json(folder / JOB, plain_keys=KEYS)
    (folder / JOB).write_text(json.dumps(plain | {"parent": json.loads(ended.stdout)}))
    return folder


def _launched(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count('"outcome"') == 1  # of the first process alone
    return done


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_come_to_the_verdict_of_one(tasks: list[Task], feed: Feed, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"night_steps": 40, "num_asked": 64, "min_examined": 64}
    folders = [_left_by_a_run(_folder(tasks, feed, tmp_path / name, **settings)) for name in ("one", "two")]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    reports = []
    for folder, launcher in zip(folders, ([], torchrun)):
        _launched([*launcher, "-m", "sage", "sleep", str(folder), "--json"])
        reports.append(json.loads((folder / REPORT).read_text()))
    one, two = reports
    assert one["outcome"] == two["outcome"] == "accepted"
    assert one["num_steps"] == two["num_steps"] == 40
    assert one["num_examined"] == two["num_examined"]
    assert two["loss_after"] == pytest.approx(one["loss_after"], abs=0.2)
    assert (folders[1] / CANDIDATE).is_dir()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_night_whose_process_was_killed_begins_again(tasks: list[Task], feed: Feed, tmp_path: Path) -> None:
    folder = _left_by_a_run(_folder(tasks, feed, tmp_path / "trainer", night_steps=4))
    (tmp_path / "deadly.py").write_text(_DEADLY)
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1"]
    done = _launched([*torchrun, str(tmp_path / "deadly.py"), "sleep", str(folder)])
    assert "exitcode: -9" in done.stderr
    report = json.loads((folder / REPORT).read_text())
    assert report["num_steps"] == 4
    assert report["outcome"] != "failed"
    assert (folder / CANDIDATE).is_dir() == (report["outcome"] == "accepted")
