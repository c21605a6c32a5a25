"""The live page of a real session in Chromium: values change, commands act, nothing else is loaded."""

from __future__ import annotations

import http.server
import itertools
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sage.app.page.endpoints import Endpoints
from sage.app.page.feed import SessionFeed
from sage.app.page.history import History
from sage.app.page.server import PageServer
from sage.app.session.synthetic import SOURCES, SyntheticSession
from sage.app.store.metrics_store import MetricsStore
from sage.app.terminal.errors import UserError
from sage.runtime.report import Event, SleepReport, State, TickReport
from sage.runtime.scheduling.work_facts import WorkFacts

TOKEN = "a-token-for-the-tests-alone"

CONFIG = """
name: small
tick: {rate_hz: 20, rest_rate_hz: 20, dream_rate_hz: 20}
model: {hidden_size: 16, num_heads: 2, H_cycles: 1, L_cycles: 1}
budget: {segments: 1}
practice: {every_ticks: 8, batch_size: 2}
sleep: {enabled: false}
memory: {num_experiences: 32, num_recall: 32, num_transitions: 128}
sensors:
  - {kind: synthetic, name: one, shape: [2], rate_hz: 20}
  - {kind: synthetic, name: two, shape: [2], rate_hz: 20, seed: 1}
effectors: [{kind: recording, name: record}]
policy: {rules: [{decision: allow, effect: record, target: self, reason: it only records}]}
"""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address and the token of the page of a session that runs."""
    (tmp_path / "small.yaml").write_text(CONFIG)
    command = [
        sys.executable,
        "-m",
        "sage",
        "run",
        str(tmp_path / "small.yaml"),
        "--no-live",
        "--seconds",
        "300",
    ]
    command += ["--page", "--port", "0", "--state-dir", str(tmp_path / "state")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    try:
        lines = (re.search(r"page: (http://127\.0\.0\.1:\d+/)  token: (.*)", line) for line in process.stderr)
        found = next(found for found in lines if found)
        yield found[1], Path(found[2].strip()).read_text().strip()
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def text(selector: str) -> str:
    return f"document.querySelector('{selector}').textContent"


@pytest.mark.slow
def test_the_page_of_a_real_session(chromium: Any, session: tuple[str, str]) -> None:
    address, token = session
    chromium.open(f"{address}#token={token}")
    chromium.until(f"Number({text('#tick')}.replaceAll(',', '')) > 40")
    assert "token" not in chromium.run("location.href")
    before = chromium.run(text("#tick"))
    chromium.until(f"{text('#tick')} !== '{before}'")
    chromium.until("document.querySelector('#plot-tick .u-over')")
    assert chromium.run("document.querySelectorAll('#sources tr').length") == 2
    assert chromium.run(text("#effectors .rows b")) == "record"

    chromium.run("document.querySelector('[data-verb=pause]').click()")
    chromium.until(f"{text('#state')} === 'paused'")
    chromium.until("document.activeElement !== null && document.querySelector('[data-verb=resume]')")
    chromium.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'p', bubbles: true}))")
    chromium.until(f"{text('#state')} !== 'paused'")

    chromium.run("document.querySelector('[data-verb=estop]').click()")
    chromium.until("document.querySelector('[data-verb=arm]')")
    assert "are held" in chromium.run(text("#effector-lead"))
    chromium.run("document.querySelector('[data-verb=arm]').click()")
    chromium.until("document.querySelector('#ask[open]')")
    chromium.run("document.querySelector('#ask-yes').click()")
    chromium.until(f"{text('#effector-lead')}.includes('may act')")

    chromium.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: '?', bubbles: true}))")
    assert chromium.run("document.querySelector('#keys').open")
    for width in (390, 1280):
        chromium.set_width(width)
        assert chromium.run("document.documentElement.scrollWidth") <= width

    chromium.events.clear()
    chromium.open(f"{address}puzzles")  # the token stays in the tab
    chromium.until("document.getElementById('model').value")
    chromium.run("document.getElementById('model').value = 'sudoku4'")
    chromium.run("document.getElementById('model').dispatchEvent(new Event('change'))")
    chromium.run("document.getElementById('text').value = '.4..1.42.23.....'")
    chromium.run("document.getElementById('text').dispatchEvent(new Event('input'))")
    chromium.run("document.getElementById('solve').click()")
    chromium.until("document.querySelector('#answer .verdict')")
    assert "the rules accept the answer" in chromium.run(text("#answer .verdict"))
    assert int(chromium.run("document.querySelector('.stepper input').max")) >= 1
    chromium.run("document.querySelector('nav a[href=\"/\"]').click()")
    chromium.until("document.getElementById('tick')")
    assert chromium.complaints == []
    assert {url.split("/")[2] for url in chromium.requested} == {address.split("/")[2]}
    assert not any(token in url for url in chromium.requested if "#" not in url)


@pytest.mark.slow
def test_without_the_token_the_page_only_shows(chromium: Any, session: tuple[str, str]) -> None:
    address, _ = session
    chromium.open(address)
    chromium.until("document.querySelector('[data-verb=pause]')")
    chromium.run("document.querySelector('[data-verb=pause]').click()")
    chromium.until("document.querySelector('#ask[open] #ask-input:not([hidden])')")
    chromium.run("document.querySelector('#ask-input').value = 'a-wrong-token-of-some-length'")
    chromium.run("document.querySelector('#ask-yes').click()")
    chromium.until("document.querySelector('#notice.bad')")
    assert "Bearer TOKEN" in chromium.run(text("#notice"))
    assert chromium.run(text("#state")) != "paused"


class Nights:
    """A session of made-up reports, with the verb `night`: each call is followed by a tick in its state."""

    def __init__(
        self, folder: Path, title: str = "calm-otter", *, sources: tuple[str, ...] = SOURCES
    ) -> None:
        self.feed = SessionFeed(title, about={"name": "made up"}, period_ns=lambda: 40_000_000)
        self.store = MetricsStore(folder / "store.sqlite")
        self.session = self.store.begin_session()
        self.writer = self.store.instrument(self.session)
        work = WorkFacts(name="notes.imagine", num_segments=2, num_made=1, work_trust=0.75)
        items = [
            replace(item, facts=replace(item.facts, work=(work,))) if isinstance(item, TickReport) else item
            for item in SyntheticSession(num_ticks=200, sources=sources).items()
        ]
        self.last = [item for item in items if isinstance(item, TickReport)][-1]
        self.report = next(item for item in items if isinstance(item, SleepReport))
        for item in items:
            if isinstance(item, TickReport):
                self.feed.on_tick(item)
                self.writer.on_tick(item)

    def status(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"is_paused": False, "held": {}, "effectors": ["recorder"], "secs_since_tick": 0.01}

    def night(self, request: dict[str, Any]) -> dict[str, Any]:
        state = State.DREAM if request["action"] == "start" else State.WAKE
        if state is State.WAKE:
            self.feed.on_sleep(self.report)
            self.writer.on_sleep(self.report)
        work = replace(self.last.facts.work[0], num_segments=0, num_made=0, skipped="mode")
        facts = replace(self.last.facts, tick=self.last.facts.tick + 1, state=state, work=(work,))
        self.last = replace(self.last, facts=facts)
        self.feed.on_tick(self.last)
        return {}


def test_a_night_is_started_and_ended(chromium: Any, tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    verbs = {"status": nights.status, "night": nights.night}
    endpoints = Endpoints(nights.feed, History(nights.store, nights.session), lambda: verbs)
    with nights.store, PageServer(endpoints, TOKEN, wanted=0) as server:
        chromium.open(f"{server.address}#token={TOKEN}")
        chromium.until("document.querySelector('[data-verb=sleep]')")
        assert chromium.run("document.querySelectorAll('.actions button').length") == 1
        chromium.run("document.querySelector('[data-verb=sleep]').click()")
        chromium.until(f"{text('#state')} === 'dream'")
        assert "in progress" in chromium.run(text("#sleep-lead"))
        wanted = "notes.imagine: 400 segments, 200 results, trust 0.75; ticks without: mode 1."
        chromium.until(f"{text('#work-note')} === '{wanted}'")
        chromium.until("document.querySelector('[data-verb=wake]')")
        chromium.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 's', bubbles: true}))")
        chromium.until(f"{text('#state')} === 'wake'")
        assert "1 in all; the last was accepted" in chromium.run(text("#sleep-lead"))
        chromium.until("document.querySelectorAll('#nights tr').length === 1")
        assert "+12.0% (+7.0% to +17.0%)" in chromium.run(text("#nights tr"))
    assert chromium.complaints == []


class Unavailable(http.server.BaseHTTPRequestHandler):
    """Answers every request with status 503."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.send_header("content-length", "0")
        self.end_headers()
        self.server.asked.set()  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


def test_an_open_page_shows_the_session_that_begins_after_another(chromium: Any, tmp_path: Path) -> None:
    """Also where the stream was refused in between, after which a browser does not connect again itself."""

    def shown(nights: Nights, num_events: int, port: int) -> PageServer:
        title = nights.feed.live.title
        for number in range(num_events):
            nights.feed.on_event(Event(kind="note", tick=number, message=f"{title} {number}"))
        verbs = {"status": nights.status}
        endpoints = Endpoints(nights.feed, History(nights.store, nights.session), lambda: verbs)
        return PageServer(endpoints, TOKEN, wanted=port)

    (tmp_path / "second").mkdir()
    first, second = Nights(tmp_path), Nights(tmp_path / "second", "brave-heron")
    with first.store, second.store:
        with shown(first, 9, 0) as server:
            chromium.open(f"{server.address}#token={TOKEN}")
            chromium.until("document.querySelector('#event-list li')")
            assert "calm-otter 8" in chromium.run(text("#event-list li"))
            port = server.port
        chromium.until(f"{text('#state')} === 'no connection'")
        with http.server.ThreadingHTTPServer(("127.0.0.1", port), Unavailable) as refusing:
            refusing.asked = threading.Event()  # type: ignore[attr-defined]
            threading.Thread(target=refusing.serve_forever, daemon=True).start()
            assert refusing.asked.wait(30)  # type: ignore[attr-defined]
            refusing.shutdown()
        with shown(second, 2, port):
            chromium.until(f"{text('#session')} === 'brave-heron'")
            chromium.until("document.querySelectorAll('#event-list li').length === 2")
            assert "brave-heron 1" in chromium.run(text("#event-list li"))
            chromium.until("document.querySelector('#plot-tick .u-over')")


def test_what_is_shown_is_of_the_session_that_runs(chromium: Any, tmp_path: Path) -> None:
    """In the browser's tab too, and before the first tick of another session."""

    def served(feed: SessionFeed, port: int) -> PageServer:
        verbs = {"status": nights.status}
        return PageServer(
            Endpoints(feed, History(nights.store, nights.session), lambda: verbs), TOKEN, wanted=port
        )

    nights = Nights(tmp_path)
    with nights.store:
        with served(nights.feed, 0) as server:
            chromium.open(server.address)
            chromium.until("document.querySelectorAll('#sources tr').length === 3")
            assert chromium.run("document.title") == "wake: made up"
            units = (
                "[...document.querySelectorAll('#plot-tick, #plot-curve')].map((each) => each.parentElement"
            )
            assert chromium.run(f"{units}.querySelector('p').textContent.match(/ms|%/)?.[0])") == ["%", "ms"]
            port = server.port
        chromium.until("document.title === 'no connection: made up'")
        assert chromium.run("document.querySelectorAll('#sources tr').length") == 3  # the last known ones
        with served(SessionFeed("brave-heron", about={"name": "another"}), port):
            chromium.until("document.title === 'starting: another'")
            shown = "document.querySelectorAll('#sources tr, .tiles dd, #actions-list li, #hand svg').length"
            assert chromium.run(shown) == 0
            assert chromium.run(text("#effector-lead")) == ""


def press(key: str, target: str = "document") -> str:
    return f"{target}.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))"


def test_what_a_command_could_not_do_stays_until_it_is_dismissed(chromium: Any, tmp_path: Path) -> None:
    nights, num_frames, stopped = Nights(tmp_path), itertools.count(5), []

    def status(request: dict[str, Any]) -> dict[str, Any]:
        return nights.status(request) | {"secs_since_tick": next(num_frames)}

    def estop(request: dict[str, Any]) -> dict[str, Any]:
        stopped.append(request)
        failed = {"arm": "abort has not returned within 1 s"} if len(stopped) == 1 else {}
        return {"stopped": ["arm"], "failed": failed, "problem": "not on the disk" if failed else ""}

    def pause(request: dict[str, Any]) -> dict[str, Any]:
        raise UserError("the tick has not ended within 5 s")

    verbs = {"status": status, "estop": estop, "pause": pause}
    endpoints = Endpoints(nights.feed, History(nights.store, nights.session), lambda: verbs)
    with nights.store, PageServer(endpoints, TOKEN, wanted=0) as server:
        chromium.open(f"{server.address}#token={TOKEN}")
        chromium.until("document.querySelector('[data-verb=estop]')")
        chromium.run("document.querySelector('[data-verb=pause]').click()")
        chromium.until("document.querySelector('#notice.bad')")
        chromium.run("document.querySelector('[data-verb=estop]').click()")
        chromium.until(f"{text('#notice')}.includes('E-stop')")
        for _ in range(2):  # frames, whose own line is another
            before = chromium.run(text("#about"))
            assert "No tick has ended" in before
            chromium.until(f"{text('#about')} !== '{before}'")
        shown = chromium.run("[...document.querySelectorAll('#notice p')].map((each) => each.textContent)")
        assert shown == [
            "Pause: the tick has not ended within 5 s",
            "E-stop: arm: abort has not returned within 1 s: cut its power; not on the disk",
        ]
        chromium.run("document.querySelector('[data-verb=estop]').click()")  # that succeeds
        chromium.until(f"!{text('#notice')}.includes('E-stop')")
        chromium.run("document.querySelector('#notice button').click()")
        assert chromium.run("document.querySelector('#notice').hidden")
        verbs["estop"] = pause
        chromium.run("document.querySelector('[data-verb=estop]').click()")
        chromium.until(f"{text('#notice')}.includes('within 5 s: cut the power of what moves')")


def test_the_key_of_the_emergency_stop_acts_wherever_no_text_is_typed(chromium: Any, tmp_path: Path) -> None:
    nights, stopped = Nights(tmp_path), []
    verbs = {"status": nights.status, "estop": lambda request: stopped.append(request) or {}}
    endpoints = Endpoints(nights.feed, History(nights.store, nights.session), lambda: verbs)
    with nights.store, PageServer(endpoints, TOKEN, wanted=0) as server:
        chromium.open(f"{server.address}#token={TOKEN}")
        chromium.until("document.querySelector('[data-verb=estop]:not(:disabled)')")
        slider = "document.querySelector('main').appendChild(Object.assign(document.createElement('input'), "
        chromium.run(press("E", "document.querySelector('#ask-input')"))
        for num, target in enumerate(
            (f"{slider}{{type: 'range'}}))", "document.querySelector('#key-list')"), 1
        ):
            chromium.run("document.querySelector('#keys').showModal()" if num == 2 else "0")
            chromium.run(press("E", target))
            chromium.until("document.querySelector('[data-verb=estop]:not(:disabled)')")
            assert len(stopped) == num


def test_a_key_that_is_held_down_is_one_command(chromium: Any, tmp_path: Path) -> None:
    nights, asked = Nights(tmp_path), []

    def ask(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request["verb"])
        return {"has_changed": True}

    def status(request: dict[str, Any]) -> dict[str, Any]:
        return nights.status(request) | {"is_paused": asked[-1:] == ["pause"]}

    verbs = {"status": status, "pause": ask, "resume": ask}
    endpoints = Endpoints(nights.feed, History(nights.store, nights.session), lambda: verbs)
    with nights.store, PageServer(endpoints, TOKEN, wanted=0) as server:
        chromium.open(f"{server.address}#token={TOKEN}")
        chromium.until("document.querySelector('[data-verb=pause]')")
        key = {"key": "p", "code": "KeyP", "text": "p"}
        chromium.call("Input.dispatchKeyEvent", type="keyDown", **key)
        chromium.until("document.querySelector('[data-verb=resume]')")
        for _ in range(3):
            chromium.call("Input.dispatchKeyEvent", type="keyDown", autoRepeat=True, **key)
        chromium.call("Input.dispatchKeyEvent", type="keyUp", **key)
        chromium.run("fetch('/healthz').then((reply) => reply.json())")
        assert asked == ["pause"]
        chromium.call("Input.dispatchKeyEvent", type="keyDown", **key)
        chromium.until("document.querySelector('[data-verb=pause]')")
        assert asked == ["pause", "resume"]


def test_long_names_and_many_notices_leave_the_page_as_wide_as_the_screen(
    chromium: Any, tmp_path: Path
) -> None:
    name = ("front_left_wheel_accelerometer_of_the_second_axle_" * 3)[:128]
    nights = Nights(tmp_path, sources=(name, "b", "c"))
    nights.feed._notices = lambda: tuple(f"tracker {number}: {name}" for number in range(40))
    work = replace(nights.last.facts.work[0], name=name)
    posture = replace(nights.last.facts.posture, starved=(name,))
    actions = tuple(replace(each, effector=name, reason=name) for each in nights.last.facts.actions)
    facts = replace(nights.last.facts, tick=900, work=(work,), posture=posture, actions=actions)
    nights.feed.on_tick(replace(nights.last, facts=facts))
    verbs = {"status": nights.status}
    endpoints = Endpoints(nights.feed, History(nights.store, nights.session), lambda: verbs)
    with nights.store, PageServer(endpoints, TOKEN, wanted=0) as server:
        chromium.open(server.address)
        chromium.until("document.querySelectorAll('#sources tr').length === 3")
        for width in (390, 1280):
            chromium.set_width(width)
            assert chromium.run("document.documentElement.scrollWidth") <= width
            fits = "[...document.querySelectorAll('.scroll')].every((it) => it.scrollWidth <= it.clientWidth)"
            assert chromium.run(fits)
            assert chromium.run("document.querySelector('.bar').offsetHeight") < 0.6 * 900
            for number in "234":  # the last sections are at the end of the page, which scrolls no further
                chromium.run(press(number))
                chromium.until(
                    "document.activeElement.getBoundingClientRect().top"
                    " >= document.querySelector('.bar').getBoundingClientRect().bottom"
                )


def test_a_page_on_every_address_asks_for_the_token(chromium: Any, tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    endpoints = Endpoints(
        nights.feed, History(nights.store, nights.session), lambda: {"status": nights.status}
    )
    with nights.store, PageServer(endpoints, TOKEN, wanted=0, host="0.0.0.0") as server:
        chromium.open(server.address)
        chromium.until("document.querySelector('#ask').open")
        assert chromium.run(text("#tick")) != "400"
        chromium.run(f"document.querySelector('#ask-input').value = '{TOKEN}'")
        chromium.run("document.querySelector('#ask-yes').click()")
        chromium.until("document.querySelectorAll('#sources tr').length === 3")
        chromium.until("document.querySelector('#plot-tick .u-over')")
