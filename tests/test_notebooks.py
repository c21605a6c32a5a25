"""The notebooks run from the first cell to the last, and are stored without output."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient", reason="pip install 'sage-runtime[dev]'")
nbformat = pytest.importorskip("nbformat", reason="pip install 'sage-runtime[dev]'")

NOTEBOOKS = ("arc_voting", "coherence_session", "a_night_of_sleep")


def _read(repository: Path, name: str) -> dict[str, Any]:
    book: dict[str, Any] = json.loads((repository / "notebooks" / f"{name}.ipynb").read_text())
    return book


def test_every_notebook_is_listed(repository: Path) -> None:
    assert {path.stem for path in (repository / "notebooks").glob("*.ipynb")} == set(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_cells_are_python_without_output(name: str, repository: Path) -> None:
    for cell in _read(repository, name)["cells"]:
        if cell["cell_type"] == "code":
            ast.parse("".join(cell["source"]))
            assert not cell["outputs"]
            assert cell["execution_count"] is None


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_to_its_end(name: str, repository: Path, tmp_path: Path) -> None:
    book = nbformat.read(repository / "notebooks" / f"{name}.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    assert all(cell.get("execution_count") for cell in book.cells if cell.cell_type == "code")
