"""A checkpoint is complete or absent; a damaged one is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sage.hrm_core.training import checkpoints
from sage.hrm_core.training.checkpoints import (
    Checkpoint,
    CheckpointFolder,
    mark_damaged,
    read_checkpoint,
    resolve_checkpoint,
    resumable,
)
from sage.hrm_core.training.errors import ResumeError
from sage.hrm_core.training.shards import read_shards, write_shards


def _checkpoint(step: int) -> Checkpoint:
    shared = {
        "weight": torch.arange(1000.0).reshape(10, 100) + step,
        "count": torch.tensor(step),
        "none": torch.zeros(0, 3),
    }
    rows = {
        "z_H": torch.arange(8).reshape(4, 2).bfloat16(),
        "is_halted": torch.tensor([True, False, True, True]),
    }
    return Checkpoint(step=step, shared=shared, rows=rows, plain={"note": "märz"})


def test_a_saved_checkpoint_is_read_back(tmp_path: Path) -> None:
    saved = _checkpoint(3)
    read = read_checkpoint(CheckpointFolder(tmp_path).save(saved))
    assert (read.step, read.plain) == (3, {"note": "märz"})
    for mine, theirs in ((saved.shared, read.shared), (saved.rows, read.rows)):
        assert mine.keys() == theirs.keys()
        assert all(
            torch.equal(mine[name], theirs[name]) and mine[name].dtype == theirs[name].dtype for name in mine
        )


def test_no_file_exceeds_the_limit_and_a_large_tensor_continues_in_the_next(tmp_path: Path) -> None:
    limit = (1 << 16) + 1500
    tensors = {"a": torch.arange(1000.0).reshape(10, 100), "b": torch.arange(7), "c": torch.tensor(1.5)}
    index = write_shards(tmp_path, "x", tensors, max_bytes=limit)
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) >= 3
    assert max(sizes) <= limit
    read = read_shards(tmp_path, index)
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


def test_a_save_that_is_killed_between_its_pointers_loses_no_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`last` of a better checkpoint holds its score: with an older `best` no later one would replace it."""
    folder = CheckpointFolder(tmp_path)
    folder.save(_checkpoint(1), is_best=True)
    written: list[str] = []

    def killed(path: Path, content: bytes) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path.name)
        path.write_bytes(content)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_file", killed)
        with pytest.raises(KeyboardInterrupt):
            folder.save(_checkpoint(2), is_best=True)
    names = [folder.find(each) for each in ("last", "best")]
    assert [path.name for path in names if path is not None] == ["step-00000001", "step-00000002"]


def test_the_last_and_the_best_are_kept(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    for step in (1, 2, 3):
        folder.save(_checkpoint(step), is_best=step == 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best",
        "last",
        "step-00000002",
        "step-00000003",
    ]
    assert resolve_checkpoint(tmp_path).name == "step-00000003"
    assert resolve_checkpoint(tmp_path, "best").name == "step-00000002"
    assert resolve_checkpoint(tmp_path / "step-00000002").name == "step-00000002"


def test_a_failed_save_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(_checkpoint(1))

    def fail(source: Path, target: Path) -> None:
        raise OSError(28, "no space left on device")  # ENOSPC

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        folder.save(_checkpoint(2))
    monkeypatch.undo()
    assert read_checkpoint(resolve_checkpoint(tmp_path)).step == 1
    folder.save(_checkpoint(2))
    assert read_checkpoint(resolve_checkpoint(tmp_path)).step == 2


def test_the_same_step_saved_again_replaces_nothing_before_it_is_whole(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    first = folder.save(_checkpoint(1))
    second = folder.save(_checkpoint(1))
    assert first != second
    assert resolve_checkpoint(tmp_path) == second
    assert not first.exists()


def _cut(path: Path) -> None:
    file = next(path.glob("shared-*"))
    file.write_bytes(file.read_bytes()[:-10])


def _alter(path: Path) -> None:
    file = next(path.glob("rank0-*"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


def _rename(path: Path) -> None:
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**state, "format": "somebody-elses"}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, "damaged: resume from an older checkpoint"),
        (lambda path: (path / "rank0.json").write_text("[]"), "damaged"),
        (_alter, "damaged"),
        (_rename, "format is 'somebody-elses'"),
        (lambda path: next(path.glob("shared-*")).unlink(), "no such file"),
        (lambda path: (path / "rank0.json").write_text("{"), "damaged"),
        (lambda path: (path / "state.json").write_text("{"), "cannot be read"),
        (lambda path: (path / "state.json").unlink(), "state.json is missing"),
    ],
)
def test_a_damaged_checkpoint_or_one_of_another_format_is_one_line(
    tmp_path: Path, damage: object, message: str
) -> None:
    path = CheckpointFolder(tmp_path).save(_checkpoint(1))
    damage(path)  # type: ignore[operator]
    with pytest.raises(ResumeError, match=message) as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_checkpoint_is_kept_and_not_tried_again(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(_checkpoint(1), is_best=True)
    damaged = folder.save(_checkpoint(2))
    assert [each.name for each in resumable(tmp_path)] == ["step-00000002", "step-00000001"]
    assert resumable(damaged) == [damaged]
    mark_damaged(damaged, "why")
    folder.save(_checkpoint(3))
    assert (damaged / "damaged").read_text() == "why\n"
    assert [each.name for each in resumable(tmp_path)] == ["step-00000003", "step-00000001"]
    (tmp_path / "last").write_text("\0\n")
    assert [each.name for each in resumable(tmp_path)[1:]] == ["step-00000003", "step-00000001"]


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="contains no checkpoint"):
        resolve_checkpoint(tmp_path)
    with pytest.raises(ResumeError, match="no such folder"):
        resolve_checkpoint(tmp_path / "nowhere")


def test_what_killed_and_failed_saves_leave_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / ".step-00000007.partial"
    killed.mkdir()
    (killed / "shared-00000.safetensors").write_bytes(bytes(1000))
    left: list[bool] = []

    def fail(path: Path, content: bytes) -> None:
        left.append(killed.exists())
        raise OSError(28, "no space left on device")  # ENOSPC

    monkeypatch.setattr(checkpoints, "write_synced", fail)
    with pytest.raises(OSError, match="no space"):
        CheckpointFolder(tmp_path).save(_checkpoint(8))
    assert left == [False]  # its room is free before the next one is written
    assert not list(tmp_path.iterdir())
