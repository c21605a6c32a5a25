"""The live page's figures of the model, its memories, worlds and effectors, in Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sage.app.page.endpoints import Endpoints
from sage.app.page.feed import SessionFeed
from sage.app.page.history import History
from sage.app.page.server import PageServer
from sage.app.session.synthetic import SyntheticSession
from sage.app.store.metrics_store import MetricsStore
from sage.runtime.report import ActingFacts, ActionFacts, TickFacts, TickReport

TOKEN = "a-token-for-the-tests-alone"


@contextmanager
def served(
    folder: Path, change: Callable[[TickFacts], TickFacts] = lambda facts: facts, **status: Any
) -> Iterator[str]:
    """The address of a page of made-up reports, each changed. status: of the session, beside the usual."""
    feed = SessionFeed("calm-otter", about={"name": "made up"}, period_ns=lambda: 40_000_000)
    held = {"is_paused": False, "held": {}, "effectors": ["recorder"], "secs_since_tick": 0.01}
    verbs = {"status": lambda request: held | status}
    with MetricsStore(folder / "store.sqlite", flush_secs=0.01) as store:
        session = store.begin_session()
        writer = store.instrument(session)
        for item in SyntheticSession(num_ticks=200).items():
            if isinstance(item, TickReport):
                report = replace(item, facts=change(item.facts))
                feed.on_tick(report)
                writer.on_tick(report)
        assert writer.flush(20)
        with PageServer(Endpoints(feed, History(store, session), lambda: verbs), TOKEN, wanted=0) as server:
            yield server.address


def text(selector: str) -> str:
    return f"document.querySelector('{selector}').textContent"


def test_surprise_activity_and_memories_of_a_session_without_puzzles(chromium: Any, tmp_path: Path) -> None:
    with served(tmp_path) as address:
        chromium.open(address)
        for name in ("surprise", "activity"):
            chromium.until(f"document.querySelector('#plot-{name} .u-over')")
        widths = "['#plot-surprise', '#glance'].map((each) => document.querySelector(each).clientWidth)"
        assert len(set(chromium.run(widths))) == 1  # in the place of the waking curve
        assert chromium.run("document.querySelector('#figure-curve').offsetHeight") == 0
        legend = chromium.run(text("#legend-activity"))
        assert legend == "H0.50L0.40"  # of the last tick
        rows = "[...document.querySelectorAll('#memories li')]"
        assert chromium.run(f"{rows}.length") == 8
        first = chromium.run(f"{rows}[0].textContent")
        assert re.match(r"0:\d\d\D+salience \d\.\d\d, surprise ", first)
        for width in (390, 1280):
            chromium.set_width(width)
            assert chromium.run("document.documentElement.scrollWidth") <= width
    assert chromium.complaints == []


def test_a_plot_without_values_takes_little_room(chromium: Any, tmp_path: Path) -> None:
    def change(facts: TickFacts) -> TickFacts:
        sources = tuple(replace(source, surprise=float("nan")) for source in facts.sources)
        return replace(facts, sources=sources)

    with served(tmp_path, change) as address:
        chromium.open(address)
        chromium.until(f"{text('#plot-surprise')} === 'No values yet.'")
        assert chromium.run("document.querySelector('#plot-surprise').offsetHeight") < 60


def test_the_returns_of_a_world_are_a_picture(chromium: Any, tmp_path: Path) -> None:
    def change(facts: TickFacts) -> TickFacts:
        num, is_end = facts.tick // 20, facts.tick % 20 == 0
        world = ActingFacts(
            world="arm",
            reward=0.5,
            reset=float(is_end),
            num_episodes=num,
            episode_return=1.5,
            last_return=num / 2,
            last_success=float(num > 5),
        )
        return replace(facts, acting=(world,))

    with served(tmp_path, change) as address:
        chromium.open(address)
        chromium.until("document.querySelectorAll('#hand .returns circle').length === 9")
        assert chromium.run("document.querySelectorAll('#hand .returns circle.right').length") == 4
        assert "arm1.50median 2.50, 9 episodes" in chromium.run(text("#hand"))
        chromium.until("document.querySelector('#plot-curve .u-over')")
    assert chromium.complaints == []


def test_what_may_act_is_counted_by_the_last_action_of_each_effector(chromium: Any, tmp_path: Path) -> None:
    def action(name: str, *, is_held: bool = False, reason: str = "", is_dry: bool = False) -> ActionFacts:
        decision = "deny" if is_held else "allow"
        return ActionFacts(
            effector=name,
            asked=(0.0,),
            done=(0.0,),
            decision=decision,
            reason=reason,
            is_held=is_held,
            is_dry=is_dry,
        )

    def change(facts: TickFacts) -> TickFacts:
        arm = action("arm", is_held=True, reason="in quarantine")
        seldom = (action("answer"),) if facts.tick == 100 else ()
        return replace(facts, actions=(arm, action("gripper", is_dry=True), *seldom))

    effectors = ["arm", "gripper", "answer", "lamp"]
    with served(tmp_path, change, effectors=effectors, num_effector_faults=1) as address:
        chromium.open(address)
        wanted = "1 may act, 1 held, 1 in a dry run, 1 not asked yet; 1 fault."
        chromium.until(f"{text('#effector-lead')} === '{wanted}'")
        assert chromium.run("document.querySelectorAll('#actions-list li').length") == 3
        assert "in quarantine" in chromium.run(text("#actions-list li"))
