"""Files and folders are complete or refused, and a failed write leaves the previous content."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sage
from sage.durable import (
    Contents,
    DamagedFile,
    digest_of,
    previous_of,
    read_checked,
    remove_partials,
    set_aside,
    write_checked,
    write_file,
    write_folder,
)
from sage.errors import SageError
from sage.mailbox.clock import ManualClock

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([True, False]),
    "empty": np.zeros((0, 4), np.int64),
}
CONTENTS = Contents(arrays=ARRAYS, scalars={"count": 2**70, "name": "ü", "list": [1.5, None]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "kept.safetensors"
    write_checked(path, CONTENTS, schema="test/1")
    return path


def test_read_returns_what_was_written(path: Path) -> None:
    contents = read_checked(path, schema="test/1")
    assert contents.scalars == CONTENTS.scalars
    assert set(contents.arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert contents.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(contents.arrays[name], array)


def test_a_truncated_file_is_refused_at_every_length(path: Path) -> None:
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(DamagedFile, match=r"kept\.safetensors is damaged"):
            read_checked(path, schema="test/1")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_is_refused_or_changes_nothing(path: Path, data: st.DataObject) -> None:
    whole = path.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    path.write_bytes(flipped)
    try:
        contents = read_checked(path, schema="test/1")
    except ValueError:
        return
    finally:
        path.write_bytes(whole)
    assert contents.scalars == CONTENTS.scalars  # the bit was padding
    assert all(np.array_equal(contents.arrays[name], array) for name, array in ARRAYS.items())


def test_a_file_of_another_schema_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="test/1"):
        read_checked(path, schema="test/2")


def test_a_missing_file_raises_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_checked(tmp_path / "none", schema="test/1")


def test_a_failed_write_leaves_the_previous_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        write_checked(path, Contents(arrays={}, scalars={}), schema="test/1")
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_the_error_of_a_failed_write_has_the_files_own_path(tmp_path: Path) -> None:
    absent = tmp_path / "absent" / "file"
    with pytest.raises(OSError) as caught:
        write_file(absent, b"x")
    assert caught.value.filename == str(absent)
    assert caught.value.filename2 is None


def test_write_file_replaces_the_content(tmp_path: Path) -> None:
    for content in (b"one", memoryview(b"two")):
        write_file(tmp_path / "a", content)
        assert (tmp_path / "a").read_bytes() == bytes(content)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_pipe_is_written_and_not_replaced(tmp_path: Path) -> None:
    """As root a device, such as /dev/null, would be replaced by a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_file(pipe, b"content")
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_link_stays_a_link_and_permissions_stay(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    target.write_bytes(b"before")
    target.chmod(0o600)
    link.symlink_to(Path("folder") / "target")
    write_file(link, b"after")
    assert link.is_symlink()
    assert target.read_bytes() == b"after"
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["folder", "link", "target"]


def test_what_dev_stdout_names_is_written_and_not_replaced(tmp_path: Path) -> None:
    """As root the link itself would be replaced by a file."""
    out = tmp_path / "out"
    before = os.readlink("/dev/stdout")
    (tmp_path / "link").symlink_to("/dev/stdout")
    for name in ("/dev/stdout", "/proc/self/fd/1", str(tmp_path / "link")):
        code = f"import pathlib, sage.durable as d; d.write_file(pathlib.Path({name!r}), b'x'); print('y')"
        with out.open("wb") as file:
            number = os.fstat(file.fileno()).st_ino
            subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
        assert (out.read_bytes(), out.stat().st_ino) == (b"xy\n", number), name
    assert os.readlink("/dev/stdout") == before
    piped = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert piped.stdout == b"xy\n"


def _write_page(path: Path) -> None:
    from sage.app.report.page_file import write_html

    write_html("page", path)


def _write_trace(path: Path) -> None:
    from sage.mailbox.trace import MessageTrace

    MessageTrace().write(path)


def _write_submission(path: Path) -> None:
    from sage.hrm_core.tasks.arc.voting import write_submission

    write_submission(path, {}, [])


def _write_plot(path: Path) -> None:
    pytest.importorskip("matplotlib")
    from sage.app.models.plots.figure import new_figure, save_figure

    save_figure(new_figure(1, 1, width=1, height=1)[0], path)


def _record_sensor(path: Path) -> None:
    from sage.app.devices.record import record_kind

    record_kind("synthetic", ("rate_hz=20", "shape=[3]"), seconds=1.0, out=path, clock=ManualClock())


@pytest.mark.parametrize(
    ("write", "suffix"),
    [
        (_write_page, ".html"), (_write_trace, ".json"), (_write_submission, ".json"), (_write_plot, ".png"),
        (_record_sensor, ".npz"),
    ],
)  # fmt: skip
def test_what_a_command_writes_for_a_user_is_whole_or_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None], suffix: str
) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(b"before")

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises((OSError, SageError), match=r"(?i)no space"):
        write(path)
    assert path.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [path]
    monkeypatch.undo()
    write(path)
    assert path.read_bytes() != b"before"
    assert [*tmp_path.iterdir()] == [path]


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], stdout=subprocess.PIPE, check=True
    )
    left = tmp_path / f".weights.safetensors.{int(ended.stdout)}.partial"
    kept = [
        tmp_path / f".weights.safetensors.{os.getpid()}.partial",
        tmp_path / ".folder.partial",
        tmp_path / "a.1",
    ]
    for path in (left, *kept):
        path.write_bytes(b"half")
    assert remove_partials(tmp_path) == 1
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert remove_partials(tmp_path) == 0


def test_write_folder_creates_parents_and_replaces_the_folder(tmp_path: Path) -> None:
    final = tmp_path / "home" / "a"
    for name in ("one", "two"):
        with write_folder(final) as folder:
            assert not list(folder.iterdir())
            (folder / name).write_bytes(b"x")
        assert [entry.name for entry in final.iterdir()] == [name]
    assert [entry.name for entry in final.parent.iterdir()] == ["a"]


def test_an_error_in_the_block_leaves_the_previous_folder(tmp_path: Path) -> None:
    final = tmp_path / "a"
    with write_folder(final) as folder:
        (folder / "one").write_bytes(b"x")
    with pytest.raises(FileNotFoundError), write_folder(final) as folder:
        (folder / "missing" / "two").write_bytes(b"x")
    assert [entry.name for entry in final.iterdir()] == ["one"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("num_renames", [0, 1])
def test_a_crash_between_the_renames_leaves_a_complete_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_renames: int
) -> None:
    final = tmp_path / "a"
    with write_folder(final) as folder:
        (folder / "one").write_bytes(b"x")
    rename, calls = Path.rename, []

    def crash(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) > num_renames:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(KeyboardInterrupt), write_folder(final) as folder:
        (folder / "two").write_bytes(b"x")
    monkeypatch.undo()
    found = final if final.exists() else previous_of(final)
    assert [entry.name for entry in found.iterdir()] == ["one"]
    with write_folder(final) as folder:
        (folder / "three").write_bytes(b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("is_folder", [True, False])
def test_set_aside_overwrites_nothing(tmp_path: Path, is_folder: bool) -> None:
    """What was set aside first may be the good one, e.g. a snapshot that was only of another version."""
    path, found = tmp_path / "a", []
    for content in ("one", "two", "three"):
        if is_folder:
            path.mkdir()
        (path / "content" if is_folder else path).write_text(content)
        found.append(set_aside(path, is_damaged=lambda _: True))
    assert [each.name for each in found] == ["a.damaged", "a.2.damaged", "a.3.damaged"]
    contents = [(each / "content" if is_folder else each).read_text() for each in found]
    assert contents == ["one", "two", "three"]
    assert not path.exists()


@pytest.mark.parametrize("is_folder", [False, True])
def test_of_damaged_files_the_newest_stay_and_the_rest_is_one_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_folder: bool
) -> None:
    path, others = tmp_path / "a", {tmp_path / "a.old.damaged", tmp_path / "ab.damaged"}
    for other in others:
        other.write_text("of another")
    whole = tmp_path / "a.2.damaged"
    for number in range(1, 8):
        content = path / "content" if is_folder else path
        content.parent.mkdir(exist_ok=True)
        content.write_text(f"{number}" * 100)
        (tmp_path / "a.damaged-wal").touch()
        caplog.clear()
        set_aside(path, is_damaged=lambda each: each != whole)
    left = {path.with_name(f"a.{number}.damaged") for number in (2, 5, 6, 7)}
    assert {*tmp_path.iterdir()} - others - {tmp_path / "a.damaged-wal"} == left
    content = whole / "content" if is_folder else whole
    assert content.read_text() == "2" * 100
    (line,) = caplog.messages
    assert line == f"{tmp_path / 'a.7.damaged'}: 4 set aside, 0.0 MB; 1 older ones deleted"


def test_the_digest_is_blake2b_of_128_bits() -> None:
    assert digest_of(b"abc") == "cf4ab791c62b8d2b2109c90275287816"
    assert digest_of(memoryview(b"abc")) == digest_of(b"abc")


def test_it_imports_no_torch() -> None:
    code = "import sys, sage.durable; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_else_in_the_package_renames_or_syncs_files() -> None:
    package = Path(sage.__file__).parent
    writers = [
        str(path.relative_to(package))
        for path in sorted(package.rglob("*.py"))
        if re.search(r"os\.replace\(|os\.rename\(|\.rename\(|fsync\(", path.read_text())
    ]
    appended = [
        "app/audit/log.py",
        "app/recording/mcap_sink.py",
        "sensors/effectors/journal.py",
    ]  # open files that grow line by line
    assert writers == [*appended[:2], "durable.py", appended[2]]
