"""A name of another kind is reported as that kind; no kind of name needs torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sage.app.cli.main import invoke
from sage.app.config.names import check_name, names_of
from sage.app.terminal.errors import UserError


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("run sudoku_1k", "sudoku_1k is a recipe, not a configuration: use it with `sage train`"),
        ("run sudoku9", "sudoku9 is a model, not a configuration: use it with --checkpoint"),
        ("train sudoku9", "sudoku9 is a model, not a recipe"),
        ("train flight", "flight is a configuration, not a recipe"),
        ("train hrm-27m", "hrm-27m is a preset, not a recipe"),
        ("model show maze", "maze is a task, not a model"),
        ("model show walk", "walk is a configuration, not a model"),
        ("solve sudoku9 1", "sudoku9 is a model, not a task: give sudoku, with --checkpoint sudoku9"),
        ("tasks hrm-27m", "hrm-27m is a preset, not a task"),
        ("solve sudoku 1 --checkpoint maze", "maze is a task, not a model"),
        ("serve --checkpoint flight", "flight is a configuration, not a model"),
        ("export tiny --out x.onnx", "tiny is a preset, not a model"),
    ],
)
def test_a_name_of_another_kind_is_reported_as_that_kind(
    command: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(command.split()) == 2
    assert error in capsys.readouterr().err


def test_a_name_of_two_kinds_is_accepted_as_either() -> None:
    check_name("model", "sudoku4")
    check_name("recipe", "sudoku4")
    with pytest.raises(UserError, match="sudoku4 is a model, not a task"):
        check_name("task", "sudoku4")


def test_an_unknown_name_passes() -> None:
    check_name("model", "owner/repository")


def test_the_names_load_no_torch() -> None:
    code = (
        "import sys; from sage.app.config.names import names_of;"
        "print([len(names_of(kind)) > 0 for kind in ('model', 'preset', 'task', 'recipe', 'configuration')],"
        " 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[True, True, True, True, True] False\n"
    assert "sudoku9" in names_of("model")


@pytest.mark.parametrize(
    "command", ["eval NAME", "eval sudoku9 NAME", "eval --all NAME", "plot NAME", "generate NAME text"]
)
@pytest.mark.parametrize(
    ("name", "error"),
    [
        (
            "sudoku99",
            "sage: sudoku99: no such file or folder, and not a shipped model: did you mean sudoku9?",
        ),
        ("flight", "sage: flight is a configuration, not a model: use it with `sage run` or `sage config`"),
    ],
)
def test_a_wrong_model_name_is_reported_before_torch_is_imported(command: str, name: str, error: str) -> None:
    code = (
        "import sys; from sage.app.cli.main import invoke;"
        f"code = invoke({command.replace('NAME', name).split()!r}); print(code, 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr.strip()) == ("2 False\n", error)
