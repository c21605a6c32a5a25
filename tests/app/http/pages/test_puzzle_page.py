"""The puzzle page in Chromium: a pasted sudoku is solved step by step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sage.app.http.guard import Access
from sage.app.http.models import ServedModels
from sage.app.http.routes import create_app
from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.solving.settings import SolveSettings

TOKEN = "a-token-for-the-tests-alone"
PUZZLE = "+---+---+\n|.4|..|\n|1.|42|\n|.2|3.|\n|..|..|"
SOLVED = "2413134242313124"


@pytest.fixture
def address(listening: Any) -> Iterator[str]:
    settings = SolveSettings(halt="verifier", max_segments=64)
    models = ServedModels([HRMInference("sudoku4", settings=settings)])
    with listening(create_app(models, Access(token=TOKEN))) as address:
        yield address


def paste(text: str) -> str:
    return (
        f"document.getElementById('text').value = {json.dumps(text)};"
        "document.getElementById('text').dispatchEvent(new Event('input'));"
    )


def test_a_pasted_sudoku_is_solved_step_by_step(chromium: Any, address: str) -> None:
    chromium.open(f"{address}/")
    chromium.until("!document.getElementById('token').hidden")  # no token: the page asks for it
    assert chromium.run("document.getElementById('main').hidden")
    chromium.events.clear()
    chromium.open(f"{address}/puzzles#token={TOKEN}")
    chromium.until("document.getElementById('model').value === 'sudoku4'")
    assert "token" not in chromium.run("location.href")
    chromium.run(paste(PUZZLE))
    drawn = "[...document.querySelectorAll('#puzzle text')].map((each) => each.textContent).join('')"
    assert chromium.run(drawn) == "414223"
    chromium.run("document.getElementById('solve').click()")
    chromium.until("document.querySelector('#answer .verdict')")
    assert "Solved: the rules accept the answer" in chromium.run(
        "document.querySelector('#answer .verdict').textContent"
    )
    slider = "document.querySelector('.stepper input')"
    num = int(chromium.run(f"{slider}.max"))
    assert num >= 1
    shown = []
    for segment in range(num + 1):
        chromium.run(f"{slider}.value = {segment}; {slider}.dispatchEvent(new Event('input'))")
        shown.append(
            chromium.run(
                "[...document.querySelectorAll('#answer svg.board')][0].querySelectorAll('text').length"
            )
        )
        told = chromium.run("document.querySelector('.stepper output').value")
        assert ("before the first" in told) == (segment == 0)
    assert (shown[0], shown[-1]) == (6, 16)
    answer = "[...document.querySelectorAll('#answer svg.board')][0].querySelectorAll('text')"
    assert chromium.run(f"[...{answer}].map((each) => each.textContent).join('')") == SOLVED
    assert chromium.run("document.querySelectorAll('.chart').length") == 2

    # Keys: a digit sets the cell, and an unsolvable puzzle is one line from the server.
    press = "document.querySelector('#puzzle svg').dispatchEvent(new KeyboardEvent('keydown', {key: '4'}))"
    chromium.run(press)
    assert chromium.run("document.getElementById('text').value").startswith("44..")
    chromium.run("document.getElementById('solve').click()")
    chromium.until("!document.getElementById('fault').hidden")
    assert "4 is twice in row 1" in chromium.run("document.getElementById('fault').textContent")
    for change in (press.replace("'4'", "'2'"), paste(PUZZLE)):  # the fault was of the puzzle before
        chromium.run("document.getElementById('fault').hidden = false")
        chromium.run(change)
        assert chromium.run("document.getElementById('fault').hidden")

    chromium.set_width(390)
    assert chromium.run("document.documentElement.scrollWidth") <= 390
    expected = [each for each in chromium.complaints if "422" not in json.dumps(each)]
    assert not expected, expected
    assert all(each.startswith((address, "data:")) for each in chromium.requested)


def test_a_search_is_drawn_as_a_tree(chromium: Any, address: str) -> None:
    chromium.open(f"{address}/#token={TOKEN}")
    chromium.until("document.getElementById('model').value === 'sudoku4'")
    steps = {
        "board": {
            "kind": "sudoku",
            "rows": 4,
            "cols": 4,
            "box": [2, 2],
            "symbols": ["", "", *"1234"],
            "unknown": 1,
        },
        "puzzle": [1] * 16,
        "answer": None,
        "segments": [],
        "num_segments": 0,
        "tree": {
            "nodes": [
                {"id": 0, "parent": None, "depth": 0, "outcome": "read"},
                {"id": 1, "parent": 0, "depth": 1, "cell": 0, "symbol": 2, "rank": -1.0, "outcome": "closed"},
                {"id": 2, "parent": 0, "depth": 1, "cell": 0, "symbol": 3, "rank": -2.0, "outcome": "read"},
                {"id": 3, "parent": 2, "depth": 2, "cell": 5, "symbol": 4, "rank": -2.5, "outcome": "solved"},
                {
                    "id": 4,
                    "parent": 2,
                    "depth": 2,
                    "cell": 5,
                    "symbol": 5,
                    "rank": -9.0,
                    "outcome": "waiting",
                },
            ],
            "num_nodes": 5,
            "path": [0, 2, 3],
        },
    }
    chromium.run(
        "import('/static/tree.js').then(({drawTree}) => document.getElementById('tree').replaceChildren("
        f"drawTree({json.dumps(steps)})))"
    )
    assert chromium.run("document.querySelectorAll('#tree [role=treeitem]').length") == 4
    assert chromium.run("document.querySelectorAll('#tree .link.path').length") == 2
    assert chromium.run("document.querySelector('#tree .more').textContent") == "+1"
    partial = (
        "[...document.querySelectorAll('#tree svg.board text')].map((each) => each.textContent).join('')"
    )
    assert chromium.run(partial) == "23"  # the answer's node is chosen: row 1 column 1 is 2, then 3
    key = "new KeyboardEvent('keydown', {key: 'ArrowUp'})"
    chromium.run(f"document.querySelector('#tree .solved').dispatchEvent({key})")
    assert chromium.run(partial) == "2"
    assert not chromium.complaints


def test_a_phone_shows_the_way_to_the_answer_and_the_whole_search_on_request(
    chromium: Any, address: str
) -> None:
    depth, num_wide = 8, 40
    nodes: list[dict[str, Any]] = [{"id": 0, "parent": None, "depth": 0, "outcome": "read"}]
    for level in range(1, depth + 1):
        parent = 0 if level == 1 else (level - 2) * num_wide + 1
        for at in range(num_wide):
            outcome = "closed" if at else "solved" if level == depth else "read"
            number = (level - 1) * num_wide + at + 1
            node = {"id": number, "parent": parent, "depth": level, "cell": level - 1, "symbol": 2}
            nodes.append({**node, "rank": -1.0, "outcome": outcome})
    path = [0, *((level - 1) * num_wide + 1 for level in range(1, depth + 1))]
    board = {
        "kind": "sudoku",
        "rows": 4,
        "cols": 4,
        "box": [2, 2],
        "symbols": ["", "", *"1234"],
        "unknown": 1,
    }
    tree = {"nodes": nodes, "num_nodes": len(nodes), "path": path}
    steps = {"board": board, "puzzle": [1] * 16, "answer": None, "segments": [], "tree": tree}
    chromium.set_width(390)
    chromium.open(f"{address}/#token={TOKEN}")
    chromium.until("document.getElementById('model').value === 'sudoku4'")
    chromium.run(
        "import('/static/tree.js').then(({drawTree}) => document.getElementById('tree').replaceChildren("
        f"drawTree({json.dumps(steps)})))"
    )
    num_shown = "document.querySelectorAll('#tree [role=treeitem]').length"
    in_view = (
        "(() => { const place = document.querySelector('#tree .scroll').getBoundingClientRect();"
        " return [...document.querySelectorAll('#tree [role=treeitem]')].every((each) => {"
        " const box = each.getBoundingClientRect();"
        " return box.left >= place.left && box.right <= place.right && box.bottom <= place.bottom; })"
        " && place.height < 900; })()"
    )
    assert chromium.run(num_shown) == depth + 1
    assert chromium.run(in_view)
    assert chromium.run("document.querySelector('#tree .more').textContent") == f"+{num_wide - 1}"
    chromium.run("document.querySelector('#tree button').click()")
    assert chromium.run(num_shown) == len(nodes)
    chromium.run("document.querySelector('#tree button').click()")
    assert chromium.run(num_shown) == depth + 1
    chromium.set_width(1280)
    chromium.run("document.getElementById('tree').replaceChildren()")


def test_what_a_server_has_none_of_is_not_offered(chromium: Any, address: str) -> None:
    """No model of text and no data set: no tab and no link, which would lead nowhere."""
    chromium.open(f"{address}/#token={TOKEN}")
    chromium.until("document.getElementById('model').value === 'sudoku4'")
    kinds = "[...document.querySelectorAll('#kinds button')].map((each) => each.textContent)"
    assert chromium.run(kinds) == ["Sudoku", "ARC"]
    assert chromium.run("document.querySelector('nav a[href=\"/data\"]').offsetWidth") == 0


def test_an_answer_that_comes_late_is_not_shown_for_another_puzzle(chromium: Any, address: str) -> None:
    chromium.open(f"{address}/puzzles#token={TOKEN}")
    chromium.until("document.getElementById('model').value === 'sudoku4'")
    chromium.run(
        "window.asked = window.fetch; window.fetch = async (path, options) => {"
        "  const reply = await window.asked(path, options);"
        "  if (path === '/v1/solve') await new Promise((done) => { window.release = done; });"
        "  return reply; }; 0"
    )
    others = (
        "document.querySelector('#kinds button:nth-child(2)').click()",  # the tab of ARC
        "document.getElementById('clear').click()",
    )
    for other in others:
        chromium.run("document.querySelector('#kinds button').click()")
        chromium.run(paste(PUZZLE))
        chromium.run("document.getElementById('solve').click()")
        chromium.until("window.release")
        chromium.run(other)
        assert chromium.run("document.getElementById('cancel').hidden")
        chromium.run("window.release(); window.release = null; new Promise((done) => setTimeout(done, 200))")
        assert "Press Solve" in chromium.run("document.getElementById('answer').textContent")
        assert chromium.run("document.querySelectorAll('#puzzle text').length") == 0
        assert chromium.run("document.getElementById('fault').hidden")
    chromium.run("document.querySelector('#kinds button').click()")
    chromium.run(paste(PUZZLE))
    chromium.run("document.getElementById('solve').click()")
    chromium.until("window.release")
    chromium.run("document.getElementById('cancel').click(); window.release()")
    chromium.until("!document.getElementById('fault').hidden")
    assert not chromium.run("document.getElementById('solve').disabled")
