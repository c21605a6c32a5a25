"""The pages, their files and the examples."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import pytest

from sage.app.http import opening
from sage.app.http.files import FILE_PATHS

PUZZLE = ".4..1.42.23....."


def test_pages_are_served_without_a_token_and_load_only_files_of_this_server(caller: Any) -> None:
    for path in sorted(FILE_PATHS):
        found = caller.ask("GET", path, headers={"host": "localhost"})
        assert found.status == 200
        policy = found.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        text = found.body.decode()
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
        linked = re.findall(r'(?:src|href|from) ?=? ?"(/static/[^"]+|\./[^"]+)"', text)
        assert {f"/static/{each.split('/')[-1]}" for each in linked} <= FILE_PATHS
        assert caller.ask("GET", path, headers={"host": "elsewhere.example"}).status == 421
        assert caller.ask("POST", path).status == 405
    assert caller.ask("GET", "/static/puzzle.html").status == 404
    assert caller.ask("GET", "/static/../guard.py").status == 404


def test_an_example_is_a_puzzle_that_the_model_reads(caller: Any) -> None:
    (model,) = caller.ask("GET", "/v1/models").json["models"]
    assert (model["examples"], model["is_searchable"]) == (["easy"], True)
    found = [caller.ask("GET", "/v1/examples", query=f"seed={seed}").json["puzzle"] for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    assert caller.solve({"puzzle": found[0], "search": 0, "max_segments": 1}).status == 200


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("seed=-1", "seed: give a whole number"),
        ("seed=99999999999", "seed: give a whole number"),
        ("kind=hard", "kind is 'hard': give one of easy"),
        ("model=nothing", "model nothing: not served"),
        ("sort=1", "sort: no such key"),
    ],
)
def test_a_wrong_question_for_an_example_is_one_line(query: str, fault: str, caller: Any) -> None:
    found = caller.ask("GET", "/v1/examples", query=query)
    assert found.status == 422
    assert fault in found.fault


def test_the_page_is_opened_by_a_file_that_only_its_owner_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(opening.webbrowser, "open", lambda address: not opened.append(address))
    for _ in range(2):
        assert opening.open_page(tmp_path, "http://127.0.0.1:1/", "secret-token")
    path = tmp_path / opening.OPENING_NAME
    assert opened == [path.as_uri()] * 2
    assert "secret-token" not in opened[0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "http://127.0.0.1:1/#token=secret-token" in path.read_text()
