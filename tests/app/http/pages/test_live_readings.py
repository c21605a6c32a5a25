"""The live page's pictures and paths in Chromium: a world with a camera, a camera of its own, and neither."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sage.app.page.endpoints import Endpoints
from sage.app.page.feed import SessionFeed
from sage.app.page.history import History
from sage.app.page.readings import ReadingsFeed
from sage.app.page.server import PageServer
from sage.app.session.synthetic import SyntheticSession
from sage.app.store.metrics_store import MetricsStore
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.report import ActingFacts, TickReport
from sage.sensors.contract import SensorSpec

TOKEN = "a-token-for-the-tests-alone"


def spec(
    name: str,
    shape: tuple[int, ...],
    *channels: str,
    dtype: str = "float32",
    observes: tuple[str, str] = ("state", "m"),
) -> SensorSpec:
    return SensorSpec(
        name=name,
        modality="physical",
        tensor=TensorSpec(shape=shape, dtype=dtype),
        period_ns=10**8,
        observes=observes,
        channels=channels,
    )


RESET = spec("arm.reset", (1,), "reset", observes=("reset", "1"))
WORLD = (
    spec("arm.camera", (48, 64, 3), dtype="uint8"),
    spec("arm.tip", (2,), "tip_x", "tip_y"),
    RESET,
    spec("depth", (20, 400)),
    spec("imu", (6,)),
)
CART = (spec("arm.state", (3,), "position", "speed", "angle"), RESET)


class Session:
    """Reports and readings of a world, one tick after another until the context ends."""

    def __init__(self, folder: Path, specs: tuple[SensorSpec, ...]) -> None:
        self.specs = specs
        readings = ReadingsFeed(specs)
        self.feed = SessionFeed(
            "calm-otter", about={"name": "made up"}, period_ns=lambda: 40_000_000, readings=readings
        )
        self.store = MetricsStore(folder / "store.sqlite")
        self.session = self.store.begin_session()
        items = SyntheticSession(num_ticks=2).items()
        self._report = next(item for item in items if isinstance(item, TickReport))
        self._tick = 0

    def tick(self) -> None:
        self._tick += 1
        step = self._tick % 25
        world = ActingFacts(
            world="arm",
            reward=0.1,
            reset=float(step == 0),
            num_episodes=self._tick // 25,
            episode_return=0.1 * (step or 25),
            last_return=2.5,
        )
        (source, *_) = self._report.facts.sources
        facts = replace(
            self._report.facts,
            tick=self._tick,
            sources=tuple(replace(source, name=each.name, status="running") for each in self.specs),
            acting=(world,),
        )
        self.feed.on_tick(replace(self._report, facts=facts))
        self.feed.readings.on_readings(facts, self._reading)

    def _reading(self, source: int) -> np.ndarray:
        shape, dtype = self.specs[source].tensor.shape, self.specs[source].tensor.dtype
        values = np.sin(0.2 * self._tick + np.arange(np.prod(shape))).reshape(shape)
        return (100 + 100 * values if dtype == "uint8" else values).astype(dtype)


@contextmanager
def served(folder: Path, specs: tuple[SensorSpec, ...]) -> Iterator[tuple[str, Session]]:
    """The address of the page of a session whose ticks follow each other."""
    session, is_over = Session(folder, specs), threading.Event()

    def run() -> None:
        while not is_over.wait(0.02):
            session.tick()

    thread = threading.Thread(target=run)
    verbs = {"status": lambda request: {"effectors": ["arm"], "secs_since_tick": 0.01}}
    endpoints = Endpoints(session.feed, History(session.store, session.session), lambda: verbs)
    with session.store, PageServer(endpoints, TOKEN, wanted=0) as server:
        thread.start()
        try:
            yield server.address, session
        finally:
            is_over.set()
            thread.join()


def check_widths(chromium: Any) -> None:
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        chromium.call("Emulation.setEmulatedMedia", features=features)
        for width in (390, 1280):
            chromium.set_width(width)
            assert chromium.run("document.documentElement.scrollWidth") <= width


def test_a_world_with_a_camera_has_its_picture_and_its_path(chromium: Any, tmp_path: Path) -> None:
    with served(tmp_path, WORLD) as (address, session):
        chromium.open(address)
        image = "document.querySelector('#hand .picture img')"
        chromium.until(f"{image}?.naturalWidth === 64 && {image}.naturalHeight === 48")
        before = chromium.run(f"{image}.src")
        chromium.until(f"{image}.src !== {before!r} && {image}.naturalWidth")
        assert chromium.run(f"{image}.alt") == "Newest picture of arm.camera"
        assert "arm.camera64 \u00d7 48" in chromium.run(
            "document.querySelector('#hand .picture').textContent"
        )

        line = "document.querySelector('#hand .plane polyline.now')"
        chromium.until(f"{line}?.points.length > 3 && document.querySelector('#hand .plane .before')")
        places = f"[...{line}.points].every(({{x, y}}) => x >= 0 && x <= 300 && y >= 0 && y <= 200)"
        assert chromium.run(places)
        path = chromium.run("document.querySelector('#hand .path').textContent")
        assert "→ tip_x" in path
        assert "Of arm.tip, in m; steps 0 to 25." in path
        assert chromium.run("document.querySelectorAll('#hand .trace').length") == 1  # the return

        other = "document.querySelector('#pictures img')"  # a source that is of no world
        chromium.until(f"{other}?.naturalWidth === 200 && {other}.naturalHeight === 10")
        assert chromium.run("document.querySelectorAll('.picture').length") == 2
        check_widths(chromium)
        assert session.feed.readings.pictures.num_copies("depth") >= 1
    assert chromium.complaints == []
    hosts = {url.split("/")[2] for url in chromium.requested if not url.startswith("data:image/png;")}
    assert hosts == {address.split("/")[2]}


def test_channels_without_a_plane_are_lines_over_the_steps(chromium: Any, tmp_path: Path) -> None:
    with served(tmp_path, CART) as (address, _):
        chromium.open(address)
        lines = "[...document.querySelectorAll('#hand .trace')]"
        chromium.until(f"{lines}.length === 4 && {lines}[0].querySelectorAll('polyline').length === 2")
        names = chromium.run(f"{lines}.map((line) => line.firstElementChild.textContent)")
        assert names == ["position", "speed", "angle", "return"]
        chromium.until(f"{lines}[0].querySelector('.now')?.points.length > 3")
        assert chromium.run("document.querySelectorAll('.picture, .plane').length") == 0
        check_widths(chromium)
    assert chromium.complaints == []


def test_a_page_that_is_not_seen_asks_for_no_picture(chromium: Any, tmp_path: Path) -> None:
    hidden = "Object.defineProperty(document, 'hidden', {get: () => window.isHidden ?? true})"
    chromium.call("Page.addScriptToEvaluateOnNewDocument", source=hidden)
    with served(tmp_path, WORLD) as (address, session):
        chromium.open(address)
        chromium.until("Number(document.querySelector('#tick').textContent) > 40")
        pictures = session.feed.readings.pictures
        assert pictures.num_copies("arm.camera") == 0
        chromium.run("window.isHidden = false")
        chromium.until("document.querySelector('#hand .picture img').naturalWidth === 64")
        assert pictures.num_copies("arm.camera") >= 1
