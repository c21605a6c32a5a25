"""What is served: answers with their cost, models with their honest figures, and one line for what is
wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sage.app.http.models import ServedModels
from sage.app.http.solve_request import SolveLimits
from sage.hrm_core.solving.service import TaskFailed

PUZZLE, OTHER = ".4..1.42.23.....", ".1.2...342......"


def test_a_puzzle_is_answered_as_the_model_itself_answers(caller: Any, models: ServedModels) -> None:
    found = caller.solve({"puzzle": PUZZLE, "max_segments": 4})
    assert found.status == 200
    direct = models.pick(None).inference.solve_one(PUZZLE, max_segments=4, search=64).to_plain()
    assert found.json == {"model": "small", "task": "sudoku", **direct}


def test_several_come_back_in_their_order(caller: Any) -> None:
    found = caller.solve(
        {
            "model": "small",
            "puzzles": [PUZZLE, OTHER, PUZZLE],
            "max_segments": 2,
            "halt": "never",
            "search": 0,
        }
    )
    assert [each["puzzle"] for each in found.json["results"]] == [PUZZLE, OTHER, PUZZLE]
    assert {each["num_segments"] for each in found.json["results"]} == {2}


def test_a_search_follows_unless_it_is_turned_off(caller: Any) -> None:
    one = {"puzzle": PUZZLE, "max_segments": 1, "search_segments": 1}
    usual, short, off = (caller.solve({**one, **more}).json for more in ({}, {"search": 3}, {"search": 0}))
    assert (usual["search"]["budget"], short["search"]["calls"], off["search"]) == (64, 3, None)
    assert usual["search"]["calls"] > 3
    assert (short["outcome"], off["outcome"]) == ("budget", "budget")


def test_no_answer_is_null(caller: Any) -> None:
    found = caller.solve({"puzzle": PUZZLE, "abstains": True, "search": 2, "max_segments": 1}).json
    assert (found["answer"], found["is_abstained"]) == (None, True)


def test_models_are_listed_with_what_training_reached(caller: Any) -> None:
    (found,) = caller.ask("GET", "/v1/models").json["models"]
    assert (found["name"], found["task"], found["num_cells"], found["trained"]) == (
        "small",
        "sudoku",
        16,
        {"exact": 0.0},
    )
    assert found["num_parameters"] > 1000


@pytest.mark.parametrize(
    ("said", "status", "fault"),
    [
        ({}, 422, "puzzle"),
        ({"puzzle": PUZZLE, "puzzles": [PUZZLE]}, 422, "one of the two"),
        ({"puzzle": 3}, 422, "puzzle: not text"),
        ({"puzzles": []}, 422, "puzzles: not a list"),
        ({"puzzles": PUZZLE}, 422, "puzzles: not a list"),
        ({"puzzles": [PUZZLE, None]}, 422, "puzzles: not a list"),
        ({"puzzle": PUZZLE[:-1]}, 422, "15 cells"),
        ({"puzzle": "23....1.....3..."}, 422, "the puzzle has no solution: check the givens"),
        ({"puzzle": "12......34......"}, 422, "more than one solution (at least 2; 4 givens): add givens"),
        ({"puzzles": [PUZZLE, "x" * 16]}, 422, "puzzle 2 of 2"),
        ({"puzzle": PUZZLE, "trys": 3}, 422, "did you mean tries?"),
        ({"puzzle": PUZZLE, "tries": "3"}, 422, "tries is '3'"),
        ({"puzzle": PUZZLE, "max_segments": 10**9}, 422, "max_segments"),
        (
            {"puzzle": PUZZLE, "tries": 4096, "max_segments": 4096},
            422,
            "puzzles x (tries x max_segments + search x search_segments) is 16777600",
        ),
        ({"puzzles": [PUZZLE] * 257}, 422, "257 of them"),
        ({"puzzle": PUZZLE, "timeout_secs": 1e9}, 422, "timeout_secs"),
        ({"puzzle": PUZZLE, "timeout_secs": True}, 422, "timeout_secs"),
        ({"puzzle": PUZZLE, "timeout_secs": 10**400}, 422, "timeout_secs"),
        ({"puzzle": "\ud800"}, 400, "the body is not JSON"),
        ({"puzzle": PUZZLE, "model": "smal"}, 422, "did you mean small?"),
        ({"puzzle": PUZZLE, "model": 3}, 422, "model: not text"),
        ([PUZZLE], 400, "not an object"),
    ],
    ids=lambda value: json.dumps(value)[:50],
)
def test_what_is_wrong_is_one_line(said: Any, status: int, fault: str, caller: Any) -> None:
    found = caller.solve(said)
    assert found.status == status
    assert fault in found.fault
    assert "\n" not in found.fault
    assert found.json["error"]["code"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"puzzle": NaN}', b"[" * 200_000], ids=lambda body: repr(body[:12])
)
def test_what_is_not_json_is_refused(body: bytes, caller: Any) -> None:
    found = caller.ask("POST", "/v1/solve", parts=[body])
    assert (found.status, found.json["error"]["code"]) == (400, "bad_request")


def test_a_number_of_too_many_digits_is_named(caller: Any) -> None:
    found = caller.ask("POST", "/v1/solve", parts=[b'{"seed": ' + b"9" * 5000 + b"}"])
    assert (found.status, found.fault) == (400, "the body is not JSON: a number has over 4,300 digits")


def test_another_content_type_is_refused(caller: Any) -> None:
    headers = {
        "host": "localhost",
        "authorization": "Bearer a-token-for-the-tests-alone",
        "content-type": "text/plain",
    }
    assert caller.ask("POST", "/v1/solve", headers=headers, said={"puzzle": PUZZLE}).status == 415


def test_a_request_ends_by_its_timeout_and_stops_costing(caller: Any, models: ServedModels) -> None:
    long = {"puzzle": PUZZLE, "halt": "never", "max_segments": 4096, "timeout_secs": 0.05}
    found = caller.solve(long)
    assert found.status == 504
    assert "0.05 s" in found.fault
    assert _is_idle(models)


def test_a_caller_who_hangs_up_stops_costing(caller: Any, models: ServedModels) -> None:
    caller.solve({"puzzle": PUZZLE, "halt": "never", "max_segments": 4096}, hangs_up=True)
    assert _is_idle(models)


def _is_idle(models: ServedModels) -> bool:
    """The thread drops what was cancelled after its segment."""
    service = models.pick(None).service
    while service.statistics().num_waiting:
        pass
    return True


@pytest.mark.slow
def test_a_full_server_says_when_to_come_back(build_caller: Callable[..., Any], models: ServedModels) -> None:
    caller = build_caller(limits=SolveLimits(num_puzzles=1000))
    found = caller.solve({"puzzles": [PUZZLE] * 301, "max_segments": 1})
    assert found.status == 503
    assert found.headers["retry-after"] == "1"
    assert _is_idle(models)


def test_a_request_that_a_full_server_refuses_leaves_no_puzzle_there(
    build_caller: Callable[..., Any], models: ServedModels
) -> None:
    caller = build_caller(limits=SolveLimits(num_puzzles=1000))
    asked = {"puzzles": [PUZZLE] * 301, "halt": "never", "max_segments": 100, "search": 0}
    assert caller.solve(asked).status == 503
    assert _is_idle(models)
    assert models.pick(None).service.statistics().num_solved == 0


def test_health_tells_when_a_model_has_stopped(caller: Any, models: ServedModels) -> None:
    models.close()
    assert caller.ask("GET", "/healthz").status == 503
    assert caller.solve({"puzzle": PUZZLE}).status == 503


def test_a_fault_of_ours_tells_nothing_of_our_insides(
    caller: Any, models: ServedModels, monkeypatch: Any
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(models, "pick", fail)
    with pytest.raises(ZeroDivisionError):  # raised again behind the reply, for the server's log
        caller.solve({"puzzle": PUZZLE})


@pytest.mark.parametrize("method", ["verify", "encode", "decode"])
@pytest.mark.parametrize("fault", [ValueError, SystemExit, StopIteration], ids=lambda each: each.__name__)
def test_what_a_task_raises_answers_its_request_alone(
    method: str,
    fault: type[BaseException],
    caller: Any,
    models: ServedModels,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise fault("a defect")

    one = {"puzzle": PUZZLE, "max_segments": 2, "search": 0, "timeout_secs": 20}
    with monkeypatch.context() as patch:
        patch.setattr(type(models.pick(None).inference.task), method, fail)
        with pytest.raises(TaskFailed, match=fault.__name__):  # for the log; the reply was sent before
            caller.solve(one)
    assert caller.solve(one).status == 200
    assert caller.ask("GET", "/healthz").json == {"status": "ok", "num_failed": 1}
