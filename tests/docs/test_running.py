"""The commands of the docs that take under a minute are run, in one folder and one state directory.

Invariant: each command of a block of the docs is either run here, or named with the reason why it is not.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_commands import OURS, REPOSITORY

EASY = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
HARD = "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3.."
SHORT, FAST = "--seconds 6 --no-live", "--fast --ticks 40 --no-live"


@dataclass(frozen=True, slots=True)
class Step:
    """more: arguments that keep it short; the last of an option counts.  text: of its output.  given: its
    standard input.
    """

    command: str
    more: str = ""
    text: str = ""
    given: str = ""


#: In this order: a later one uses what an earlier one wrote.
STEPS = (
    Step(f"sage solve sudoku {EASY}", text="solved"),
    Step(f"sage solve sudoku {HARD} --search 256", text="search"),
    Step("sage solve sudoku puzzles.sdm"),
    Step("sage solve sudoku - --search 256 --sound", given=EASY + "\n"),
    Step(
        "sage eval sudoku6 --num 300 --segments 1,16 --tries 8 --starts 8",
        "--num 8",
        text="the smallest residual",
    ),
    Step("sage run --seconds 120", SHORT),
    Step("sage run --seconds 120 --state-dir life --set sleep.enabled=false", SHORT),
    Step("sage sleep life", text="stream puzzles:"),
    Step("sage run --seconds 120 --state-dir life", SHORT),
    Step("sage memory inspect", text="recall"),
    Step("sage memory search store=recall context=0"),
    Step("sage memory search store=unsolved"),
    Step("sage memory export memories.parquet"),
    Step("sage memory forget 'time>=2026-01-31T12:00' 'time<=2026-01-31T13:00'"),
    Step("sage run --set memory.write_rate=0.3", FAST),
    Step("sage run", FAST),
    Step("sage run sudoku", FAST),
    Step("sage run jetson", FAST),
    Step("sage run --track tensorboard --track prometheus", FAST),
    Step("sage report", text="report-"),
    Step("sage report A B", text="ticks per second"),
    Step("sage store export nights.csv"),
    Step("sage run coherence --seconds 120", "--fast --seconds 8 --no-live --set coherence.window_ticks=64"),
    Step("sage run coherence --seconds 120", "--fast --seconds 8 --no-live --set coherence.window_ticks=64"),
    Step("sage coherence", text="z"),
    Step("sage coherence SESSION OTHER", text="z"),
    Step("sage run flight --fast --ticks 200 --state-dir /tmp/one"),
    Step("sage run flight --fast --ticks 200 --state-dir /tmp/two"),
    Step("sage store export one.csv --state-dir /tmp/one"),
    Step("sage store export two.csv --state-dir /tmp/two"),
    Step("sage run trust.yaml --fast --ticks 900", text="stuck"),
    Step("sage run measurements --fast --ticks 900", text="stuck"),
    Step("sage run configs/gym.yaml --fast --seconds 1000", FAST),
    Step("sage run configs/robot.yaml --seconds 180", FAST),
    Step("sage run my.yaml --set solver_training.practises=false --set sleep.enabled=false", FAST),
    Step("sage record run.mcap", FAST),
    Step("sage record run.mcap --fast --ticks 400"),
    Step("sage recording info run.mcap"),
    Step("sage recording recover run.mcap"),
    Step("sage recording check run.recovered.mcap"),
    Step("sage recording export run.mcap --out tables --format csv"),
    Step("sage recording export run.mcap --out tables --format parquet", "--out other"),
    Step("sage recording export run.mcap --out run.rrd --format rrd"),
    Step("sage replay run.mcap", text="equal"),
    Step("sage config show", text="rate_hz"),
    Step("sage mailbox ls"),
    Step("sage mailbox stat"),
    Step("sage mailbox stat --prometheus"),
    Step("sage mailbox clean"),
    Step("sage train", text="sudoku4"),
    Step("sage train sudoku6 --dry-run"),
    Step("sage train sudoku4 --out runs/a --seed 1 --set train.optimizer.lr=5e-3", "--steps 4"),
    Step("sage train sudoku4 --out runs/a --seed 1 --set train.optimizer.lr=5e-3 --resume", "--steps 6"),
    Step("sage train sudoku4", "--steps 2"),
    Step("sage train sudoku4 --out runs/mine", text="best score"),
    Step("sage eval runs/mine", "--num 50", text="100"),
    Step("sage solve sudoku .4..1.42.23..... --checkpoint runs/mine", text="checked by the rules"),
)

NEEDS_OTHERS = "needs another host, a service or a session that runs; see tests/app and tests/sensors/remote"
TAKES_MINUTES = "takes minutes, or what minutes of training wrote"
NOT_RUN = {
    NEEDS_OTHERS: (
        "sage bridge list tcp/192.168.1.5:7447",
        "sage bridge receive tcp/192.168.1.5:7447 --host porch --mailbox events",
        "sage bridge serve camera.yaml --host porch --listen tcp/192.168.1.5:7447",
        "sage bridge serve --set sensors=[] --host porch --listen tcp/192.168.1.5:7447 --mailbox events",
        "sage daemon install my.yaml --user",
        "sage status",
        "sage stop",
        "sage sweep search.yaml --out sweeps/lr --storage /mnt/shared/lr.log",
        "sage sweep search.yaml --out sweeps/lr --storage postgresql://optuna@trainer/sweeps",
        "sage sweep search.yaml --out sweeps/lr --worker second",
        "sage train sudoku4 --track wandb --track trackio --project puzzles",
    ),
    "names an experience of the reader's own": (
        "sage memory forget episode=12 --dry-run",
        "sage memory search id=42",
        "sage memory search time=2026-01-31T12:00",
    ),
    "is run by tests/docs/test_sensor_steps.py": (
        "sage run run.yaml --fast --seconds 3 --no-live",
        "sage sensors check wind",
        "sage sensors check load --set period_secs=0.5",
        "sage sensors new load",
        "sage sensors new wind",
    ),
    TAKES_MINUTES: (
        "sage bench arc --start runs/arc_generated/model --runs arc.jsonl --cpu-minutes 100",
        "sage bench gym",
        "sage bench loop --quick",
        "sage bench robot",
        "sage bench soak --state DIR",
        "sage bench soak --state DIR --parts 3",
        "sage bench soak --suite kills",
        "sage eval --all runs/medium",
        "sage eval runs/a runs/b runs/c",
        "sage eval runs/easy runs/searched runs/easy_longer --option givens=[10,15] --num 100 --search 16",
        "sage eval runs/arc --forms 9 --submission attempts.json --segments 4",
        "sage eval runs/mixture --task sudoku",
        "sage eval runs/sudoku6 --segments 1,4,16,64 --tries 8",
        "sage eval sudoku9 --data hard.csv --num 500 --failures 3",
        "sage eval sudoku9 --dtype float32",
        "sage sleep fleet/porch",
        "sage solve maze maze.txt --checkpoint runs/maze10 --json",
        "sage train arc --out runs/arc",
        "sage train arc_generated --out runs/arc_generated",
        "sage train sudoku6 --steps 120 --set task.givens=[16,24] --out runs/easy",
        "sage train sudoku6 --steps 150 --from runs/easy --set task.givens=[16,24] --from-search sudoku6"
        " --search-puzzles 192 --out runs/searched",
        "sage train sudoku6 --steps 150 --from runs/easy --set task.givens=[16,24] --out runs/easy_longer",
        "sage train sudoku6 --from runs/search --from-search runs/search/episodes --out runs/again",
        "sage train sudoku6 --from runs/sudoku6 --from-search puzzles.csv --search-calls 240"
        " --search-cpu-seconds 600 --out runs/search",
        "sage train sudoku6 --from runs/sudoku6 --from-search sudoku6 --out runs/search",
    ),
}


def test_every_command_of_a_block_is_run_or_has_a_reason() -> None:
    named = [*{step.command for step in STEPS}, *(text for texts in NOT_RUN.values() for text in texts)]
    assert len(set(named)) == len(named)
    of_docs = {" ".join(each.text.split()) for each in OURS if each.is_whole}
    assert {" ".join(text.split()) for text in named} == of_docs


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_commands_do_what_the_docs_say(
    tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGE_DATA", str(recordings))
    for package in ("av", "mcap", "pyarrow", "gymnasium", "mujoco", "tensorboard", "prometheus_client"):
        pytest.importorskip(package)
    prepare(tmp_path)
    failed = [reason for step in STEPS if (reason := run(step, tmp_path))]
    assert not failed, "\n".join(failed)


def prepare(folder: Path) -> None:
    """The reader's own files."""
    (folder / "puzzles.sdm").write_text(EASY.replace(".", "0") + "\n")
    page = (REPOSITORY / "docs/trust.md").read_text()
    block = re.search(r"```yaml\n(# trust\.yaml\n.*?)```", page, re.DOTALL)
    assert block is not None
    (folder / "trust.yaml").write_text(block[1])
    (folder / "my.yaml").write_text((REPOSITORY / "configs/sudoku.yaml").read_text())
    (folder / "configs").symlink_to(REPOSITORY / "configs")


def run(step: Step, folder: Path) -> str:
    """Why the command failed, or ""."""
    words = shlex.split(step.command.replace("/tmp/", f"{folder}/")) + shlex.split(step.more)
    environment = os.environ | {
        "XDG_STATE_HOME": str(folder / "state"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "120",
    }

    def sage(arguments: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).with_name("sage"), *arguments],
            cwd=folder,
            env=environment,
            input=step.given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    if {"A", "SESSION"} & set(words):
        stored = json.loads(sage(["store", "inspect", "--json"]).stdout)["sessions"]
        *_, first, second = (each["id"] for each in sorted(stored, key=lambda each: each["started_ns"]))
        names = {"A": first, "B": second, "SESSION": first, "OTHER": second}
        words = [names.get(word, word) for word in words]
    done = sage(words[1:])
    if done.returncode:
        return f"{step.command}: {done.returncode}: {(done.stderr or done.stdout)[-300:]}"
    return "" if step.text in done.stdout else f"{step.command}: no {step.text!r} in {done.stdout[-300:]}"
