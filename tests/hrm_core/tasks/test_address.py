from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage.errors import DataError, InputError
from sage.hrm_core.tasks.address import TaskAddress, address_for, address_of, sha256_of
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Task


def _again(address: TaskAddress) -> Task:
    return TaskAddress.from_plain(json.loads(json.dumps(address.to_plain()))).make()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sudoku", {"size": 6, "givens": (12, 20)}),
        ("maze", {"size": 7, "difficulty": "easy", "density": [0.2, 0.3]}),
        ("hanoi", {}),
        ("diagnosis", {}),
    ],
)
def test_a_generated_task_is_made_again_from_plain_values(name: str, options: dict[str, object]) -> None:
    task = make_task(name, **options)
    for address in (address_for(name, options), address_of(task)):
        assert address is not None
        assert address.files == {}
        again = _again(address)
        assert again.spec == task.spec
        assert type(again) is type(task)
    assert address_of(object()) is None  # type: ignore[arg-type]


def test_an_option_that_names_a_file_becomes_a_path_and_its_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("one two three " * 200)
    (tmp_path / "hard").write_text("a file with the name of a difficulty")
    address = address_for("text", {"path": "words.txt", "length": 16})
    path = str(tmp_path / "words.txt")
    assert address.options == {"path": path, "length": 16}
    assert address.files == {path: sha256_of(tmp_path / "words.txt")}
    assert address_for("maze", {"difficulty": "hard"}).files == {}
    assert address_for("arc", {"train": "arc1"}).options == {"train": "arc1"}

    monkeypatch.chdir("/")
    assert _again(address).spec.seq_len == 16
    part = {"name": "text", "weight": 2, "path": path, "length": 16}
    mixed = address_for("mixture", {"tasks": [part, {"name": "brackets"}]})
    assert mixed.files == address.files
    assert _again(mixed).spec.seq_len > 16

    (tmp_path / "words.txt").write_text("one two four " * 200)
    for each in (address, mixed):
        with pytest.raises(DataError, match=r"words\.txt: SHA-256 is"):
            each.make()


def test_the_sum_of_a_folder_has_its_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_text("12")
    (tmp_path / "two").write_text("3")
    sums = {sha256_of(tmp_path)}
    (tmp_path / "two").write_text("4")
    sums.add(sha256_of(tmp_path))
    (tmp_path / "two").rename(tmp_path / "three")
    sums.add(sha256_of(tmp_path))
    assert len(sums) == 3


def test_what_is_no_plain_value_or_no_task_has_no_address() -> None:
    with pytest.raises(InputError, match="no plain values"):
        address_for("sudoku", {"size": object()})
    with pytest.raises(InputError, match="did you mean 'sudoku'"):
        address_for("sudokku", {})
