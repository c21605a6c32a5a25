"""Access: every refusal is JSON with a status of its own, and is sent before the body is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sage.app.http.guard import Access, host_name

TOKEN = "a-token-for-the-tests-alone"
GOOD = {"host": "127.0.0.1:8765", "authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
#: A body that never arrives: a server that waits for it hangs, and the test with it.
NEVER: list[bytes | None] = [None]


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (without("authorization"), 401),
        ({**GOOD, "authorization": f"Bearer {TOKEN}x"}, 401),
        ({**GOOD, "authorization": "Bearer "}, 401),
        ({**GOOD, "authorization": f"Basic {TOKEN}"}, 401),
        ({**GOOD, "authorization": "Bearer ÿþ"}, 401),
        ({**GOOD, "authorization": TOKEN}, 401),
        (without("host"), 421),
        ({**GOOD, "host": "evil.example"}, 421),
        ({**GOOD, "host": "127.0.0.1.evil.example"}, 421),
        ({**GOOD, "host": "evil.example:127.0.0.1"}, 421),
        ({**GOOD, "origin": "https://evil.example"}, 403),
        ({**GOOD, "origin": "null"}, 403),
        ({**GOOD, "origin": "http://127.0.0.1.evil.example"}, 403),
        ({**GOOD, "origin": "file://127.0.0.1"}, 403),
        ({**GOOD, "content-length": str(2 << 20)}, 413),
        ({**GOOD, "content-length": "9" * 400}, 413),
        ({**GOOD, "content-length": "-1"}, 400),
        ({**GOOD, "content-length": "1e3"}, 400),
    ],
    ids=lambda value: (
        ",".join(f"{k}={v[:24]}" for k, v in value.items()) if isinstance(value, dict) else str(value)
    ),
)
def test_a_request_without_access_is_refused_before_its_body(
    headers: dict[str, str], status: int, caller: Any
) -> None:
    found = caller.ask("POST", "/v1/solve", headers=headers, parts=NEVER)
    assert found.status == status
    assert found.fault
    assert found.headers["content-type"] == "application/json"
    assert TOKEN.encode() not in found.body


def test_a_client_that_is_gone_in_the_middle_of_its_request_is_no_error_of_the_server(caller: Any) -> None:
    """An exception that leaves the application is logged with its traceback."""
    found = caller.ask("POST", "/v1/solve", headers=GOOD, parts=[b"{", None], hangs_up=True)
    assert (found.status, found.fault) == (400, "the client disconnected")


@pytest.mark.parametrize("length", range(len(TOKEN)))
def test_a_token_that_shares_only_its_beginning_is_refused(length: int, caller: Any) -> None:
    for token in (TOKEN[:length], TOKEN[:length].ljust(len(TOKEN), "~"), TOKEN[:length] + TOKEN):
        if token != TOKEN:
            headers = {**GOOD, "authorization": f"Bearer {token}"}
            assert caller.ask("GET", "/v1/models", headers=headers).status == 401


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST:1", "[::1]:8765", "localhost."])
@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:8765", "http://[::1]:1", "https://localhost"])
def test_the_servers_own_names_have_access(host: str, origin: str | None, caller: Any) -> None:
    headers = {**GOOD, "host": host, **({"origin": origin} if origin else {})}
    assert caller.ask("GET", "/v1/models", headers=headers).status == 200


def test_a_missing_token_is_answered_with_the_scheme(caller: Any) -> None:
    found = caller.ask("GET", "/v1/models", headers=without("authorization"))
    assert found.headers["www-authenticate"].startswith("Bearer")


def test_health_needs_no_token_but_the_right_name(caller: Any) -> None:
    assert caller.ask("GET", "/healthz", headers={"host": "localhost"}).json == {
        "status": "ok",
        "num_failed": 0,
    }
    assert caller.ask("GET", "/healthz", headers={"host": "evil.example"}).status == 421


def test_an_unknown_path_is_reported_only_with_a_token(caller: Any) -> None:
    assert caller.ask("GET", "/v1/nothing", headers={"host": "localhost"}).status == 401
    assert caller.ask("GET", "/v1/nothing").status == 404
    assert caller.ask("GET", "/v1/solve").status == 405


def test_a_body_that_grows_past_the_limit_is_cut_off(build_caller: Callable[..., Any]) -> None:
    caller = build_caller(max_body_bytes=1000)
    assert caller.ask("POST", "/v1/solve", parts=[b"x" * 600, b"x" * 600, None]).status == 413


def test_a_body_that_does_not_arrive_times_out(build_caller: Callable[..., Any]) -> None:
    caller = build_caller(body_timeout_secs=0.01)
    assert caller.ask("POST", "/v1/solve", parts=[b"{", None]).status == 408


def test_every_reply_has_the_headers_that_restrict_a_browser(caller: Any) -> None:
    for headers in (GOOD, {"host": "evil.example"}):
        found = caller.ask("GET", "/v1/models", headers=headers)
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in found.headers["content-security-policy"]
        assert "access-control-allow-origin" not in found.headers


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:80", "localhost"),
        ("[::1]:80", "::1"),
        ("[::1]", "::1"),
        ("", ""),
        ("[", ""),
    ],
)
def test_a_host_is_its_name_alone(host: str, name: str) -> None:
    assert host_name(host) == name


def test_access_without_a_token_or_a_host_is_refused() -> None:
    with pytest.raises(ValueError, match="token"):
        Access(token="short")
    with pytest.raises(ValueError, match="hosts"):
        Access(token=TOKEN, hosts=frozenset())
