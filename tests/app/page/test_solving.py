"""The puzzle page and its routes in the page of a session."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from sage.app.http.models import ServedModels
from sage.app.page.routes import create_app
from sage.app.page.solving import PuzzleRoutes, solving_paths
from sage.app.terminal.errors import UserError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.solving.published import load_published, save_published
from sage.hrm_core.solving.task_card import TaskCard

TOKEN = "a-token-for-the-tests-alone"
HEADERS = {"host": "127.0.0.1:8642", "authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
PUZZLE = {"puzzle": "1234341221434321", "steps": True, "max_segments": 2}


class Loads:
    """Counts the loads; the first one fails."""

    def __init__(self, folder: Any, failure: Exception | None = None) -> None:
        self._failure = failure or UserError("small: the weights are damaged: publish the model again")
        front = TokenFront(vocab_size=6, seq_len=16, positions="learned")
        model = HRM(ModelConfig.preset("tiny", front=front), generator=torch.Generator().manual_seed(0))
        save_published(folder, model, TaskCard(task="sudoku", options={"size": 4}, trained={"exact": 0.0}))
        self._folder = folder
        self.num = 0
        self.models: list[ServedModels] = []

    def __call__(self) -> ServedModels:
        self.num += 1
        if self.num == 1:
            raise self._failure
        self.models.append(ServedModels([HRMInference(load_published(self._folder))], niceness=1))
        return self.models[-1]


def test_the_puzzle_page_of_a_session(page: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = Loads(tmp_path / "small")
    routes = PuzzleRoutes(loads)
    monkeypatch.setattr(page, "app", create_app(page.endpoints, TOKEN, routes))
    body = json.dumps(PUZZLE).encode()

    for path, method in (("/v1/models", "GET"), ("/v1/examples", "GET"), ("/v1/solve", "POST")):
        for change, status in (
            ({"authorization": ""}, 401),
            ({"host": "evil.example"}, 421),
            ({"origin": "http://evil.example"}, 403),
        ):
            headers = {name: value for name, value in {**HEADERS, **change}.items() if value}
            assert page.ask(method, path, headers=headers, body=body).status == status
    long = {**HEADERS, "content-length": str((1 << 20) + 1)}
    assert page.ask("POST", "/v1/solve", headers=long).status == 413
    for path in ("/puzzles", "/data", "/static/puzzle.js", "/static/live.js"):
        assert page.ask("GET", path, headers={"host": "127.0.0.1"}).status == 200
    assert b'<a href="/">Session</a>' in page.ask("GET", "/puzzles").body
    assert b"live.js" in page.ask("GET", "/").body
    assert loads.num == 0

    failed = page.ask("GET", "/v1/models")
    assert (failed.status, loads.num) == (503, 1)
    assert "weights are damaged" in failed.json["error"]["message"]
    assert page.ask("GET", "/v1/models").json["models"][0]["task"] == "sudoku"
    solved = page.ask("POST", "/v1/solve", body=body)
    assert (solved.status, loads.num) == (200, 2)
    assert len(solved.json["steps"]["segments"]) >= 1
    assert page.ask("POST", "/v1/solve", body=b"{").status == 400
    assert page.ask("GET", "/v1/solve").status == 405
    routes.close()
    assert not any(model.is_running for model in loads.models[0])


def test_models_that_could_not_be_loaded_for_any_reason_are_loaded_again(
    page: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = Loads(tmp_path / "small", MemoryError("no memory"))
    routes = PuzzleRoutes(loads)
    monkeypatch.setattr(page, "app", create_app(page.endpoints, TOKEN, routes))
    with pytest.raises(MemoryError):  # it is logged
        page.ask("GET", "/v1/models")
    assert page.ask("GET", "/v1/models").json["models"][0]["task"] == "sudoku"
    routes.close()


def test_the_document_has_the_routes_that_solve() -> None:
    paths = solving_paths()
    assert {"/v1/models", "/v1/examples", "/v1/solve"} <= set(paths)
    assert all(each["security"] for operations in paths.values() for each in operations.values())
