"""`sage solve`: the answer, its cost, and one line for each error."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
import torch

from sage.app.cli.main import invoke
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving import task_card
from sage.hrm_core.solving.published import save_published
from sage.hrm_core.solving.task_card import TaskCard
from sage.hrm_core.tasks.catalogue import make_task

PUZZLE = ".4..1.42.23....."


@pytest.fixture
def model(tmp_path: Path) -> str:
    """Untrained: it solves nothing, which is an answer too."""
    front = TokenFront(vocab_size=6, seq_len=16, positions="learned")
    model = HRM(ModelConfig.preset("tiny", front=front), generator=torch.Generator().manual_seed(0))
    save_published(tmp_path / "untrained", model, TaskCard(task="sudoku", options={"size": 4}))
    return str(tmp_path / "untrained")


def test_the_puzzle_stands_beside_the_answer(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    way = ["--segments", "3", "--search", "0"]
    assert invoke(["solve", "sudoku", PUZZLE, "--checkpoint", model, *way]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(". 4 | . .     ")
    assert printed[-1].startswith("not solved: this answer breaks the rules")
    assert "; 3 segments; " in printed[-1]


def test_json_says_what_it_cost_and_is_worth(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    way = ["--json", "--tries", "2", "--segments", "3", "--search", "0"]
    assert invoke(["solve", "sudoku", PUZZLE, "--checkpoint", model, *way]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["puzzle"] == PUZZLE
    assert len(said["answer"]) == 16
    assert (said["task"], said["model"]) == ("sudoku", "untrained")
    assert (said["num_segments"], said["num_segments_spent"], said["is_halted_early"]) == (3, 6, False)
    assert not said["is_verified"]
    assert (said["outcome"], said["search"]) == ("budget", None)
    assert 0 <= said["confidence"] <= 1


def test_tries_may_start_at_random_and_be_picked_by_their_residual(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    way = ["solve", "sudoku", PUZZLE, "--checkpoint", model, "--json", "--tries", "6", "--segments", "2"]
    way += ["--halt", "never", "--search", "0", "--variation", "start"]
    found = []
    for pick in ("q", "residual"):
        assert invoke([*way, "--pick", pick]) == 1
        found.append(json.loads(capsys.readouterr().out))
    assert {each["num_segments_spent"] for each in found} == {12}
    assert found[0]["attempt"] != found[1]["attempt"]
    assert invoke([*way, "--pick", "loss"]) == 2
    assert "pick is 'loss': give one of q, residual" in capsys.readouterr().err


def test_with_sound_there_is_no_wrong_answer(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    way = ["solve", "sudoku", PUZZLE, "--checkpoint", model, "--sound", "--segments", "2", "--search", "2"]
    assert invoke(way) == 1
    assert "no answer: no try gave one that follows the rules" in capsys.readouterr().out
    assert invoke([*way, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["answer"] is None


def test_a_search_follows_a_try_that_failed(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The model is untrained, and the grid small enough for its search to meet the solution."""
    way = ["solve", "sudoku", PUZZLE, "--checkpoint", model, "--segments", "2", "--search", "5000"]
    assert invoke(way) == 0
    said, guesses = capsys.readouterr().out.splitlines()[-2:]
    assert guesses.startswith("guesses: row ")
    assert re.match(
        r"solved by search, checked by the rules; \d+ model calls of at most 5000, depth \d+; ", said
    )
    assert invoke([*way, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["attempt"], found["search"]["budget"]) == ("solved", 1, 5000)
    assert 1 < found["search"]["calls"] <= 5000
    assert found["search"]["guesses"]
    for guess in found["search"]["guesses"]:
        assert guess["cell"] == 4 * (guess["row"] - 1) + guess["column"] - 1
        assert found["answer"][guess["cell"]] == guess["text"] == str(guess["symbol"] - 1)


def test_a_task_without_a_check_of_partial_answers_is_not_searched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task("patterns")
    spec = task.spec
    front = TokenFront(vocab_size=spec.vocab_size, seq_len=spec.seq_len, positions="learned")
    model = HRM(ModelConfig.preset("tiny", front=front), generator=torch.Generator().manual_seed(0))
    save_published(tmp_path / "patterns", model, TaskCard(task="patterns"))
    puzzle = task.decode(task.held_out(1).inputs[0])
    way = ["solve", "patterns", puzzle, "--checkpoint", str(tmp_path / "patterns"), "--segments", "2"]
    assert invoke([*way, "--search", "9"]) == 2
    assert "--search 9: the task has no check of partial answers" in capsys.readouterr().err
    assert invoke([*way, "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["search"] is None


def test_a_puzzle_may_come_from_a_file_or_stdin(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = "\n".join(PUZZLE[row : row + 4] for row in range(0, 16, 4)) + "\n"
    (tmp_path / "puzzle.txt").write_text(drawn)
    monkeypatch.setattr("sys.stdin", io.StringIO(drawn))
    for given in (str(tmp_path / "puzzle.txt"), "-"):
        invoke(["solve", "sudoku", given, "--checkpoint", model, "--json", "--segments", "1"])
        assert json.loads(capsys.readouterr().out)["puzzle"] == PUZZLE


def test_the_shipped_model_of_the_puzzles_size_is_taken(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    front = TokenFront(vocab_size=8, seq_len=36, positions="learned")
    save_published(
        tmp_path / "six",
        HRM(ModelConfig.preset("tiny", front=front)),
        TaskCard(task="sudoku", options={"size": 6}),
    )
    monkeypatch.setattr(
        task_card, "shipped_folders", lambda: {"sudoku6": tmp_path / "six", "sudoku4": Path(model)}
    )
    invoke(["solve", "sudoku", PUZZLE, "--json", "--segments", "1"])
    assert json.loads(capsys.readouterr().out)["model"] == "untrained"
    assert invoke(["solve", "sudoku", PUZZLE[:-1]]) == 2
    assert "15 cells: give 16 (4x4) or 36 (6x6)" in capsys.readouterr().err
    assert invoke(["solve", "sudoku", "1." * 128]) == 2
    assert "no shipped model has 16x16 cells: shipped sizes are 4x4, 6x6" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sudoku", "44..1.42.23....."], "contradict"),
        (["sudoku", "...............1"], "givens"),
        (["sudoku", PUZZLE + "."], "17 cells: give 16"),
        (["sudoku", "23....1.....3..."], "solve sudoku: the puzzle has no solution: check the givens"),
        (
            ["sudoku", "12......34......"],
            "solve sudoku: the puzzle has more than one solution (at least 2; 4 givens): add givens",
        ),
        (["sudoku", "&4..1.42.23....."], "row 1, column 1 is '&'"),
        (["sudoku", PUZZLE, "--tries", "0"], "tries is 0: give a whole number"),
        (["sudoku", PUZZLE, "--halt", "soon"], "halt is 'soon': give one of q, verifier, never"),
        (
            ["sudoku", PUZZLE, "--min-confidence", "0.5"],
            "--min-confidence needs --halt q, and --halt is verifier",
        ),
        (
            ["sudoku", PUZZLE, "--halt", "q", "--min-confidence", "1"],
            "min_confidence is 1.0: give a number from 0 to below 1",
        ),
        (["sudoku", "./absent.txt"], "no such file"),
        (["sudoku", "absent.sdk"], "absent.sdk: no such file"),
        (["sudoku", "/"], "/: a folder"),
        (["maze", "a/b\n"], "is a model of sudoku: give that task"),
        (["sudoku9", PUZZLE], "sudoku9 is a model, not a task: give sudoku, with --checkpoint sudoku9"),
        (["sudoko", PUZZLE], "did you mean sudoku?"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_error_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["solve", *arguments, "--checkpoint", model]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("sage: ")
    assert printed.err.count("\n") == 1
    assert said in printed.err


def test_a_model_of_another_task_or_of_none_is_refused(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = Path(model) / "task.json"
    card.write_text(card.read_text().replace("sudoku", "sudoku-of-another-kind"))
    assert invoke(["solve", "sudoku", PUZZLE, "--checkpoint", model]) == 2
    assert "sudoku-of-another-kind" in capsys.readouterr().err
    assert invoke(["solve", "sudoku", PUZZLE, "--checkpoint", str(tmp_path / "nothing")]) == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_a_model_without_a_card_gets_the_task_of_its_size(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(model) / "task.json").unlink()
    assert invoke(["solve", "sudoku", PUZZLE, "--checkpoint", model, "--segments", "1", "--search", "0"]) == 1
    assert "not solved" in capsys.readouterr().out


def test_several_puzzles_are_answered_one_by_one(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "puzzles.sdm").write_text(f"{PUZZLE}\n44..1.42.23.....\n{PUZZLE}\n")
    arguments = ["solve", "sudoku", str(tmp_path / "puzzles.sdm"), "--checkpoint", model, "--segments", "1"]
    assert invoke(arguments) == 2
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith("puzzle ")] == [
        "puzzle 1 of 3",
        "puzzle 2 of 3",
        "puzzle 3 of 3",
    ]
    assert "not solved: the givens contradict each other" in printed
    assert invoke([*arguments, "--json"]) == 2
    answers = json.loads(capsys.readouterr().out)
    assert ["error" in answer for answer in answers] == [False, True, False]


def test_a_file_that_is_not_utf8_is_refused(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "puzzle.txt").write_bytes(PUZZLE.encode("utf-16"))
    assert invoke(["solve", "sudoku", str(tmp_path / "puzzle.txt"), "--checkpoint", model]) == 2
    assert "not UTF-8 at byte 0: save it as UTF-8" in capsys.readouterr().err
