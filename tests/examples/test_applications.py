"""The examples that use a model in an application, on an untrained model and with their defaults."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest
import torch

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.solving.published import load_published, save_published
from sage.hrm_core.solving.task_card import TaskCard

PUZZLE, OTHER = ".4..1.42.23.....", ".1.2...342......"
TOKEN = "a-token-for-the-tests-alone"


EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def examples_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def example(name: str) -> ModuleType:
    path = EXAMPLES / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "small"
    front = TokenFront(vocab_size=6, seq_len=16, positions="learned")
    model = HRM(ModelConfig.preset("tiny", front=front), generator=torch.Generator().manual_seed(0))
    save_published(folder, model, TaskCard(task="sudoku", options={"size": 4}))
    return str(folder)


def test_the_sudoku_application_shows_verified_boards_only(
    checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main = example("sudoku_app").main
    assert main([PUZZLE, OTHER, "--checkpoint", checkpoint, "--tries", "1"]) == 1
    assert capsys.readouterr().out.endswith(
        "board 1: no answer after 16 segments\n\nboard 2: no answer after 16 segments\n\n"
    )
    assert main(["11" + PUZZLE[2:], PUZZLE, "--checkpoint", checkpoint, "--tries", "1"]) == 1
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first.startswith("board 1: the givens contradict each other")
    assert second == "board 2: no answer after 16 segments"


def test_every_line_of_a_puzzle_file_gets_a_document_in_order(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "puzzles.txt").write_text(f"{PUZZLE}\n\nno puzzle\n{OTHER}\n")
    arguments = [
        str(tmp_path / "puzzles.txt"),
        str(tmp_path / "answers.jsonl"),
        "--checkpoint",
        checkpoint,
        "--tries",
        "2",
    ]
    assert example("batch_processing").main(arguments) == 0
    first, wrong, last = map(json.loads, (tmp_path / "answers.jsonl").read_text().splitlines())
    assert (first["puzzle"], last["puzzle"]) == (PUZZLE, OTHER)
    assert first["num_segments_spent"] == 32
    assert "cells" in wrong["error"]
    assert capsys.readouterr().out.startswith("0 of 3 puzzles solved and verified; 64 segments in ")


def test_without_arguments_the_shipped_puzzles_are_solved_by_the_shipped_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert example("batch_processing").main([]) == 0
    assert capsys.readouterr().out.startswith("3 of 3 puzzles solved and verified; ")
    documents = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [document["is_verified"] for document in documents] == [True] * 3


def test_the_sudoku_application_solves_its_own_puzzle(capsys: pytest.CaptureFixture[str]) -> None:
    assert example("sudoku_app").main([]) == 0
    assert "board 1: solved after" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "arguments", "line"),
    [
        ("batch_processing", ["missing.txt"], "batch_processing: missing.txt: No such file or directory\n"),
        ("sudoku_app", ["--checkpoint", "missing"], "sudoku_app: missing: no such file or folder"),
    ],
)
def test_a_missing_file_is_one_line_and_exit_code_2(
    name: str, arguments: list[str], line: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_the_client_lists_models_and_sends_puzzles_to_a_real_server(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("starlette", reason="the extra web is not installed")
    pytest.importorskip("uvicorn", reason="the extra web is not installed")
    from sage.app.http.guard import Access
    from sage.app.http.models import ServedModels
    from sage.app.http.routes import create_app
    from sage.app.http.server import bind, build_server

    (tmp_path / "token").write_text(TOKEN)
    main = example("rest_client").main
    with bind("127.0.0.1", 0) as listening:
        server = build_server(
            create_app(ServedModels([HRMInference(load_published(checkpoint))]), Access(token=TOKEN))
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            where = [
                "--url",
                f"http://127.0.0.1:{listening.getsockname()[1]}",
                "--token-file",
                str(tmp_path / "token"),
            ]
            assert main(where) == 0
            assert capsys.readouterr().out == "small: sudoku, 16 cells, trained: {}\n"
            is_solved = main([*where, PUZZLE]) == 0  # untrained: its search may meet the answer
            answer = r"[1-4]{16}" if is_solved else "no answer"
            assert re.fullmatch(rf"{answer}  \(\d+ segments\)\n", capsys.readouterr().out)
            assert main([*where, "short"]) == 1
            assert "5 cells: give 16" in capsys.readouterr().err
        finally:
            server.should_exit = True
            thread.join()
