"""What is held across restarts, until a person arms."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage.app.control.hold import HOLD_NAME, RUNNING_NAME, HoldFile, is_starting
from sage.app.control.session_control import held_over
from sage.errors import InputError


def begun(
    state_dir: Path,
    *,
    is_replay: bool = False,
    fails: type[BaseException] | None = None,
    opens: bool = True,
) -> str | None:
    """The cause of the hold that a session starts with; it ends with what `fails` names.  opens: whether its
    effectors are opened before.
    """
    with held_over(state_dir, has_effectors=True, is_replay=is_replay) as (file, hold):
        if opens:
            file.note_opening()
        if fails is not None:
            raise fails("an end")
    return None if hold is None else hold.cause


def killed_after_opening(state_dir: Path) -> None:
    file = HoldFile(state_dir)
    file.begin(has_effectors=True)
    file.note_opening()


def test_a_clean_end_leaves_nothing(tmp_path: Path):
    assert begun(tmp_path) is None
    assert begun(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_session_that_refuses_its_input_ends_cleanly(tmp_path: Path):
    with pytest.raises(InputError):
        begun(tmp_path, fails=InputError)
    assert begun(tmp_path) is None


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, OSError])
def test_an_end_before_the_effectors_are_opened_is_no_crash(tmp_path: Path, kind: type[BaseException]):
    """SIGTERM or Ctrl-C while the model is built, and a disk that is full then."""
    with pytest.raises(kind):
        begun(tmp_path, fails=kind, opens=False)
    assert begun(tmp_path) is None
    with pytest.raises(kind):
        begun(tmp_path, fails=kind)
    assert begun(tmp_path) == "crash"


def test_a_marker_that_a_full_disk_left_empty_is_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(self: Path, *_: object, **__: object) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        begun(tmp_path)
    monkeypatch.undo()
    assert begun(tmp_path) is None


def test_after_a_crash_every_session_is_held_until_armed(tmp_path: Path):
    with pytest.raises(ZeroDivisionError):
        begun(tmp_path, fails=ZeroDivisionError)
    assert (tmp_path / RUNNING_NAME).exists()
    assert [begun(tmp_path) for _ in range(3)] == ["crash"] * 3
    file = HoldFile(tmp_path)
    hold = file.read()
    assert hold is not None
    assert hold.spares == ("cognitive",)
    assert "sage arm" in str(hold)
    file.clear()
    assert begun(tmp_path) is None


def test_a_stop_by_a_person_spares_nothing_and_holds_a_replay_too(tmp_path: Path):
    HoldFile(tmp_path).write("estop", "estop: smoke")
    assert begun(tmp_path) == "estop"
    assert begun(tmp_path, is_replay=True) == "estop"
    hold = HoldFile(tmp_path).read()
    assert hold is not None
    assert (hold.reason, hold.spares) == ("estop: smoke", ())


def test_what_a_crash_left_does_not_change_a_replay(tmp_path: Path):
    killed_after_opening(tmp_path)
    assert begun(tmp_path, is_replay=True) is None
    assert begun(tmp_path) == "crash"


def test_a_session_that_is_killed_before_its_effectors_are_opened_holds_nothing(tmp_path: Path):
    HoldFile(tmp_path).begin(has_effectors=True)
    assert is_starting(tmp_path)
    assert begun(tmp_path) is None
    killed_after_opening(tmp_path)
    assert is_starting(tmp_path)
    assert begun(tmp_path) == "crash"


@pytest.mark.parametrize("text", ["", "4194304\n", "4194304 started\n"])
def test_another_marker_is_that_of_a_crash(tmp_path: Path, text: str):
    """That of a version before, with the number alone, and a torn one."""
    (tmp_path / RUNNING_NAME).write_text(text)
    assert not is_starting(tmp_path)
    assert begun(tmp_path) == "crash"


def test_a_session_without_effectors_leaves_no_marker(tmp_path: Path):
    HoldFile(tmp_path).begin(has_effectors=False)
    assert begun(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"cause": "crash", "reason": "r", "since_ns": "then"}'])
def test_a_hold_that_cannot_be_read_holds(tmp_path: Path, text: str):
    (tmp_path / HOLD_NAME).write_text(text)
    assert begun(tmp_path) == "estop"
