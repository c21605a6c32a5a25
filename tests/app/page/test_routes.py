"""The page's routes: what each returns, and which requests are refused. The routes come from their table."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from sage.app.page.routes import MAX_BODY_BYTES
from sage.app.page.table import COMMANDS, ENDPOINTS
from tests.app.page.conftest import CAMERA, Page

TOKEN = "a-token-for-the-tests-alone"
GOOD = {"host": "127.0.0.1:8642", "authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
CHANGING = [row.path for row in ENDPOINTS if row.changes_state]
READING = [row.path for row in ENDPOINTS if not row.changes_state]

REFUSED = {
    "no token": ({"authorization": ""}, b"{}", 401),
    "another token": ({"authorization": "Bearer another-token-of-some-length"}, b"{}", 401),
    "the token in another scheme": ({"authorization": f"Basic {TOKEN}"}, b"{}", 401),
    "another host": ({"host": "evil.example"}, b"{}", 421),
    "no host": ({"host": ""}, b"{}", 421),
    "another origin": ({"origin": "http://evil.example"}, b"{}", 403),
    "an opaque origin": ({"origin": "null"}, b"{}", 403),
    "an oversized body": ({}, b'{"reason": "' + b"x" * MAX_BODY_BYTES + b'"}', 413),
    "a length that is no number": ({"content-length": "many"}, b"{}", 400),
    "a form": ({"content-type": "application/x-www-form-urlencoded"}, b"reason=x", 415),
    "plain text": ({"content-type": "text/plain"}, b"{}", 415),
    "no JSON": ({}, b"{", 400),
    "deep JSON": ({}, b"[" * 4000, 400),
    "a list": ({}, b"[]", 400),
    "an unknown key": ({}, b'{"version": 1}', 400),
    "a reason that is no text": ({}, b'{"reason": 1}', 400),
    "a long reason": ({}, json.dumps({"reason": "x" * 201}).encode(), 400),
    "a reason with a line feed": ({}, b'{"reason": "a\\nb"}', 400),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("path", CHANGING)
def test_a_state_changing_request_is_refused(page, path, case):
    changed, body, status = REFUSED[case]
    headers = {name: value for name, value in {**GOOD, **changed}.items() if value}
    before = len(page.asked)
    found = page.ask("POST", path, headers=headers, body=body)
    assert found.status == status
    assert found.json["error"]["message"]
    assert len(page.asked) == before


@pytest.mark.parametrize("path", CHANGING)
def test_a_state_changing_route_is_not_reached_by_another_method(page, path):
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert page.ask(method, path).status == 405


def test_the_table_has_every_route_of_the_application():
    from sage.app.page.routes import static_routes

    methods = {method for route in static_routes() for method in route.methods or ()}
    assert methods == {"GET", "HEAD"}
    assert len(CHANGING) == len(COMMANDS)


@pytest.mark.parametrize("path", [*READING, "/", "/static/uplot.min.js"])
def test_reading_needs_no_token_but_the_right_host_and_origin(page, path):
    query = {"/api/series": "?names=coherence", "/api/picture": f"?name={CAMERA}"}.get(path, "")
    assert page.ask("GET", path + query, headers={"host": "evil.example"}).status == 421
    refused = page.ask("GET", path + query, headers={**GOOD, "origin": "https://evil.example"})
    assert refused.status == 403
    if path != "/api/live":
        assert page.ask("GET", path + query, headers={"host": "localhost"}).status == 200


def test_no_reply_has_the_token(page):
    for path in ("/", "/api/status", "/openapi.json", "/api/sources", "/metrics"):
        found = page.ask("GET", path)
        assert TOKEN.encode() not in found.body
        assert TOKEN not in str(found.headers)
    policy = page.ask("GET", "/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_status_sources_and_puzzles(page):
    status = page.ask("GET", "/api/status").json
    assert (status["tick"], status["state"], status["session"]) == (399, "wake", "calm-otter")
    assert status["commands"] == ["pause", "estop", "arm", "sleep", "wake"]
    assert 0 < status["tick_ms_p50"] <= status["tick_ms_p99"]
    sources = {each["name"]: each for each in page.ask("GET", "/api/sources").json["sources"]}
    assert sources["camera.front"]["num_faults"] == 3
    assert 0 < sources["imu"]["trust"] < 1
    (stream,) = page.ask("GET", "/api/puzzles").json["puzzles"]
    current = stream["current"]
    assert (current["number"], current["columns"], current["level"]) == (13, 4, "sudoku 4x4")
    assert 1 < len(current["steps"]) <= 24
    assert [each["verdict"] for each in stream["ended"][:2]] == ["wrong", "right"]


def test_series_levels_nights_and_events_come_from_the_store(page):
    found = page.ask("GET", "/api/series?names=coherence,imu.trust&points=50").json
    assert 2 <= len(found["times"]) <= 51
    assert len(found["series"]["imu.trust"]) == len(found["times"]) == len(found["ticks"])
    middle = found["times"][len(found["times"]) // 2]
    part = page.ask("GET", f"/api/series?names=coherence&from={middle}&points=50").json
    assert part["times"][0] >= middle
    assert page.ask("GET", "/api/series?names=coherence&from=1e9").json["times"] == []
    longest = f"{'w' * 128}.{'s' * 128}.persistence_error"
    refused = page.ask("GET", f"/api/series?names={longest}").json["error"]["message"]
    assert "is not in this session" in refused
    levels = page.ask("GET", "/api/levels").json["levels"]
    assert levels[0]["num_answers"] == 13
    assert levels[0]["share"][-1] == pytest.approx(6 / 13, abs=1e-4)
    nights = page.ask("GET", "/api/nights").json["nights"]
    assert [night["outcome"] for night in nights] == ["accepted", "rolled_back"]
    events = page.ask("GET", "/api/events?limit=3").json["events"]
    assert events[-1]["kind"] == "recovered"


def test_a_name_with_commas_is_asked_for_by_itself(tmp_path):
    page = Page(tmp_path, 20, ("imu", "arm, left&right"))
    name = "arm, left&right.trust"
    query = f"/api/series?names=coherence,imu.trust&name={quote(name, safe='')}&name=coherence"
    found = page.ask("GET", query).json["series"]
    assert list(found) == ["coherence", "imu.trust", name]
    assert list(page.ask("GET", f"/api/series?name={quote(name, safe='')}").json["series"]) == [name]
    page.store.close()


@pytest.mark.parametrize(
    "query",
    [
        "/api/series",
        "/api/series?name=",
        "/api/series?name=coherence&name=nothing",
        "/api/series?names=",
        "/api/series?names=nothing",
        "/api/series?names=coherence&points=1",
        "/api/series?names=coherence&from=nan",
        "/api/series?names=coherence&to=1e300",
        "/api/series?names=rest",
        "/api/status?x=1",
        "/api/events?limit=ten",
    ],
)
def test_a_wrong_query_is_one_line(page, query):
    found = page.ask("GET", query)
    assert found.status == 400
    assert "\n" not in found.json["error"]["message"]


def test_commands_are_those_of_the_control_socket(page):
    assert page.ask("POST", "/api/control/pause", body=b"{}").json == {"has_changed": True}
    assert page.ask("POST", "/api/control/estop", body=b'{"reason": "smoke"}').status == 200
    assert page.asked[-2:] == [{"verb": "pause"}, {"verb": "estop", "reason": "smoke"}]
    assert page.ask("POST", "/api/control/sleep", body=b"{}").status == 200
    assert page.ask("POST", "/api/control/wake", body=b"{}").status == 200
    assert [each["action"] for each in page.asked[-2:]] == ["start", "stop"]
    refused = page.ask("POST", "/api/control/arm", body=b"{}")
    assert (refused.status, refused.json["error"]["code"]) == (409, "conflict")
    absent = page.ask("POST", "/api/control/snapshot", body=b"{}")
    assert absent.status == 409
    assert "no such command" in absent.json["error"]["message"]


def test_the_stream_sends_the_newest_frame(page):
    body = page.ask("GET", "/api/live").body
    page.endpoints._is_closing = False
    assert body.startswith(b"retry: 1000\n\ndata: {")
    frame = json.loads(body.split(b"data: ")[1])
    assert frame["status"]["tick"] == 399
    assert frame["sleep"]["last"]["outcome"] == "rolled_back"
    assert frame["events"][-1]["kind"] == "recovered"
    (work,) = frame["work"]
    assert (work["name"], work["num_now"], work["skipped"]) == ("notes.imagine", 2, "")
    assert (work["num_segments"], work["num_made"], work["trust"]) == (400, 200, 0.75)
    assert work["skips"] == {"budget": 200}


def test_metrics_are_in_the_text_format(page):
    found = page.ask("GET", "/metrics")
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = found.body.decode().splitlines()
    assert "sage_ticks_total 399" in lines
    assert "# TYPE sage_source_trust gauge" in lines
    assert any(line.startswith('sage_source_trust{source="imu"} 0.') for line in lines)
    assert 'sage_puzzles_right_total{stream="puzzles",level="sudoku 4x4"} 6' in lines
    assert 'sage_work_segments_total{work="notes.imagine"} 400' in lines
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families))


@pytest.mark.parametrize(("secs_since_tick", "has_rates"), [(4.9, True), (5.1, False)])
def test_a_loop_that_stands_has_no_rates(tmp_path, secs_since_tick, has_rates):
    """A pause, or a tick that hangs: rates are over the last 5 s."""
    page = Page(tmp_path, num_ticks=60)
    page.secs_since_tick = secs_since_tick
    page.take_in()
    assert (page.ask("GET", "/api/status").json["tick_hz"] is not None) is has_rates
    rates = [each["rate_hz"] for each in page.ask("GET", "/api/sources").json["sources"]]
    assert any(rate is not None for rate in rates) is has_rates
    text = page.ask("GET", "/metrics").body.decode()
    assert ("sage_tick_rate_hertz " in text) is has_rates
    assert ("sage_source_rate_hertz{" in text) is has_rates
    assert "sage_tick_age_seconds" in text


def test_the_document_has_every_route(page):
    document = page.ask("GET", "/openapi.json").json
    found = {(method.upper(), path) for path, each in document["paths"].items() for method in each}
    assert found == {(row.method, row.path) for row in ENDPOINTS}
    for row in ENDPOINTS:
        operation = document["paths"][row.path][row.method.lower()]
        assert ("security" in operation) == row.changes_state


def test_the_documentation_has_every_route(repository):
    text = (repository / "docs" / "page.md").read_text()
    for row in ENDPOINTS:
        assert f"`{row.method} {row.path}" in text
