"""`steps: true`: the segments of the plain try and the tree of the search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sage.app.http.steps import MAX_NODES, plain_tree
from sage.hrm_core.solving.search_record import SearchRecord

PUZZLE = ".4..1.42.23....."


def test_segments_and_the_tree_come_with_the_answer(caller: Any) -> None:
    asked = {"puzzle": PUZZLE, "max_segments": 3, "search": 6, "search_segments": 1, "halt": "never"}
    with_steps, without = caller.solve({**asked, "steps": True}).json, caller.solve(asked).json
    steps = with_steps.pop("steps")
    assert with_steps == without
    assert steps["board"]["kind"] == "sudoku"
    assert (steps["board"]["box"], steps["board"]["symbols"][2:]) == ([2, 2], ["1", "2", "3", "4"])
    assert [steps["board"]["symbols"][cell] or "." for cell in steps["puzzle"]] == list(PUZZLE)
    assert len(steps["segments"]) == steps["num_segments"] == 3
    for segment in steps["segments"]:
        assert len(segment["cells"]) == len(segment["certainty"]) == 16
        assert all(0 <= each <= 100 for each in segment["certainty"])
        assert segment["H_change"] > 0
        assert 0 <= segment["confidence"] <= 1
    nodes = steps["tree"]["nodes"]
    assert len(nodes) == steps["tree"]["num_nodes"] == with_steps["search"]["nodes"]
    assert nodes[0] == {"id": 0, "parent": None, "depth": 0, "outcome": "read"}
    by_id = {node["id"]: node for node in nodes}
    for node in nodes[1:]:
        assert node["depth"] == by_id[node["parent"]]["depth"] + 1
        assert steps["puzzle"][node["cell"]] == 1
        assert 2 <= node["symbol"] <= 5
    assert sum(node["outcome"] != "waiting" for node in nodes) >= 6


def test_nothing_is_recorded_unless_asked(caller: Any) -> None:
    assert "steps" not in caller.solve({"puzzle": PUZZLE, "steps": False, "search": 0}).json
    steps = caller.solve({"puzzle": PUZZLE, "steps": True, "search": 0, "max_segments": 2}).json["steps"]
    assert steps["tree"] is None


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"steps": 1}, "steps: give true or false"),
        ({"steps": True, "max_segments": 257}, "max_segments is 257: with steps give 256 or less"),
        ({"steps": True, "search": 1025}, "search is 1025: with steps give 1024 or less"),
    ],
)
def test_its_size_is_limited(more: dict[str, Any], fault: str, caller: Any) -> None:
    found = caller.solve({"puzzle": PUZZLE, **more})
    assert (found.status, found.fault) == (422, fault)
    several = caller.solve({"puzzles": [PUZZLE], "steps": True})
    assert "one `puzzle`" in several.fault


def test_a_large_tree_lists_what_was_read_and_the_path_of_the_answer() -> None:
    record = SearchRecord()
    record.add(np.zeros(3, np.int32), parent=-1)
    record.note_read(0)
    record.note_expanded(0, np.array([[each, 0, 0] for each in range(1, MAX_NODES + 50)], np.int32))
    last = len(record) - 1
    record.note_read(last)
    record.note_expanded(last, np.array([[last, 7, 0]], np.int32))
    record.note_read(last + 1)
    record.note_expanded(1, np.zeros((0, 3), np.int32))
    record.answer = last + 1
    tree = plain_tree(record)
    assert tree is not None
    assert len(tree["nodes"]) == MAX_NODES
    assert (tree["num_nodes"], tree["path"]) == (last + 2, [0, last, last + 1])
    outcomes = {node["id"]: node["outcome"] for node in tree["nodes"]}
    assert (outcomes[0], outcomes[1], outcomes[2], outcomes[last], outcomes[last + 1]) == (
        "read",
        "closed",
        "waiting",
        "read",
        "solved",
    )
