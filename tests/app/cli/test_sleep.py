"""`sage sleep` of several processes: all of them leave out the same folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from sage.app.cli import sleep
from sage.app.cli.main import invoke
from sage.app.models.training import processes
from sage.errors import DataError, InputError
from sage.hrm_core.optim.ranks import Ranks


class TwoRanks(Ranks):
    """What the other process says in turn: whether it failed."""

    others: list[bool]

    def any(self, is_true: bool) -> bool:
        return self.others.pop(0) or is_true


def _two(monkeypatch: pytest.MonkeyPatch, *others: bool) -> TwoRanks:
    ranks = TwoRanks(index=0, count=2)
    object.__setattr__(ranks, "others", list(others))

    @contextmanager
    def joined(_: str) -> Iterator[tuple[Ranks, torch.device]]:
        yield ranks, torch.device("cpu")

    monkeypatch.setattr(processes, "joined_ranks", joined)
    return ranks


def _folders(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir()
        (folder / name / "job.json").write_text("{")


def test_a_folder_that_any_process_cannot_read_is_left_out_by_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _folders(tmp_path, "a", "b", "c")
    ranks = _two(monkeypatch, False, False, True, False)  # of the lock, then of each folder
    opened: list[str] = []

    def open_one(night: Path, **_: object) -> Callable[[], sleep.Result]:
        opened.append(night.name)
        if night.name == "a":
            raise DataError("a is damaged")
        return lambda: sleep.Result(text=f"night {night.name}", plain={})

    monkeypatch.setattr(sleep, "_opened", open_one)
    assert invoke(["sleep", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert (opened, ranks.others) == (["a", "b", "c"], [])
    assert printed.out == "night c\n"
    (line,) = printed.err.splitlines()
    assert "a is damaged" in line
    assert "b: no night can be run here (another process cannot do it: see its line)" in line


def test_an_error_within_a_night_ends_all_nights_of_several_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _folders(tmp_path, "a", "b")
    ranks = _two(monkeypatch, False, False, False)

    def fail() -> sleep.Result:
        raise InputError("fewer windows than processes")

    monkeypatch.setattr(sleep, "_opened", lambda night, **_: fail)
    assert invoke(["sleep", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "fewer windows than processes" in line
    assert ranks.others == [False]


def test_what_one_process_raises_ends_the_block_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = _two(monkeypatch, True, False, False)
    with pytest.raises(InputError, match="another process cannot do it"), ranks.together():
        pass
    with pytest.raises(OSError, match="gone"), ranks.together():
        raise OSError("gone")
    with ranks.together():
        pass
    assert ranks.others == []
