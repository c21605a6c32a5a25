"""One served model answers puzzles of several sizes, each size in a batch of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sage.app.http.models import ServedModels
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.solving.published import save_published
from sage.hrm_core.solving.task_card import TaskCard


@pytest.fixture
def models(tmp_path: Path) -> Iterator[ServedModels]:
    front = TokenFront(vocab_size=6, seq_len=36, positions="none")
    model = HRM(ModelConfig.preset("tiny", front=front, mixer="grid", q_source="mean"))
    card = TaskCard(task="maze", options={"size": 6, "difficulty": "easy"}, sizes=(4, 6))
    save_published(tmp_path / "mazes", model, card)
    models = ServedModels([HRMInference(tmp_path / "mazes")])
    yield models
    models.close()
    assert models.stopped() == ["mazes"]


def test_each_size_is_answered_in_the_order_of_the_request(caller: Any, models: ServedModels) -> None:
    mazes = ["S" + "." * (side**2 - 2) + "G" for side in (5, 6, 4, 5)]
    found = caller.solve({"puzzles": mazes, "max_segments": 2, "search": 0})
    assert found.status == 200
    assert [len(each["puzzle"].split("\n")) for each in found.json["results"]] == [5, 6, 4, 5]
    assert sorted(next(iter(models)).others) == [16, 25]
    assert caller.ask("GET", "/v1/models").json["models"][0]["sizes"] == [4, 6]
    wrong = caller.solve({"puzzles": ["S" + "." * 79 + "G", mazes[0]]})
    assert (wrong.status, wrong.fault) == (
        422,
        "puzzle 1 of 2: the grid is 9x9: the model solves grids 4x4 to 6x6: give another model",
    )
    assert models.stopped() == []
