"""The viewer's routes: data sets by name, never by path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.app.http.guard import Access
from sage.app.http.models import ServedModels
from sage.app.http.routes import create_app
from sage.hrm_core.datasets.layout import write_identifiers, write_ungrouped


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two data sets, of which one is damaged; a third lies beside the folder."""
    for name in ("served/good", "served/damaged", "beside"):
        for side in ("train", "test"):
            cells = np.ones((3, 16), np.uint8)
            write_ungrouped(tmp_path / name / side, cells, cells, vocab_size=6, forms=1)
        write_identifiers(tmp_path / name, [])
    (tmp_path / "served/damaged/identifiers.json").write_text("{")
    return tmp_path / "served"


@pytest.fixture
def asker(folder: Path, models: ServedModels, caller: Any) -> Any:
    access = Access(token="a-token-for-the-tests-alone")
    return type(caller)(create_app(models, access, data_folders=[folder]))


def test_data_sets_are_listed_and_paged(asker: Any) -> None:
    damaged, good = asker.ask("GET", "/v1/datasets").json["datasets"]
    assert (damaged["name"], good["name"]) == ("served/damaged", "served/good")
    assert "cannot be read" in damaged["error"]
    assert good["sides"]["test"]["num_examples"] == 3
    page = asker.ask("GET", "/v1/datasets/examples", query="name=served/good&side=test&start=1&num=1").json
    assert (page["num_found"], [each["index"] for each in page["examples"]]) == (3, [1])


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("", "no such data set"),
        ("name=beside", "no such data set"),
        ("name=../beside", "no such data set"),
        ("name=served/../beside", "no such data set"),
        ("name=/etc/passwd", "no such data set"),
        ("name=served%2f..%2f..%2fbeside", "no such data set"),
        ("name=served/good/train", "no such data set"),
        ("name=served/damaged", "cannot be read"),
        ("name=served/good&side=../../beside/train", "side is"),
        ("name=served/good&num=101", "num is 101"),
        ("name=served/good&start=-1", "start: give a whole number"),
        ("name=served/good&group=x", "group: give a whole number"),
        ("name=served/good&path=/", "path: no such key"),
    ],
)
def test_nothing_else_is_read(query: str, fault: str, asker: Any) -> None:
    found = asker.ask("GET", "/v1/datasets/examples", query=query)
    assert found.status == 422
    assert fault in found.fault
    assert "\n" not in found.fault


def test_without_folders_there_is_no_data_set(caller: Any) -> None:
    assert caller.ask("GET", "/v1/datasets").json == {"datasets": []}
    assert "--data" in caller.ask("GET", "/v1/datasets/examples", query="name=x").fault
