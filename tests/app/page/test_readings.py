"""`sage run --page` follows the worlds and the cameras of its loop; without a page nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from sage.app.cli.main import invoke
from sage.app.page.feed import SessionFeed
from sage.app.session import run as session_run

CONFIG = """
name: room
tick: {rate_hz: 20, rest_rate_hz: 20, dream_rate_hz: 20}
model: {hidden_size: 16, num_heads: 2, H_cycles: 1, L_cycles: 1}
budget: {segments: 1}
practice: {enabled: false}
sleep: {enabled: false}
memory: {num_experiences: 32, num_recall: 32, num_transitions: 128}
sensors: [{kind: synthetic, name: frame, shape: [8, 12], rate_hz: 20}]
environments: [{kind: key_door, name: room, max_steps: 8}]
policy: {rules: [{decision: allow, effect: simulated, target: world, reason: a simulated world}]}
"""


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    """A session redirects log lines; the next test starts with the default."""
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("has_page", [True, False])
def test_a_session_with_a_page_follows_its_world_and_its_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_page: bool
) -> None:
    feeds: list[SessionFeed] = []

    @contextmanager
    def opened(options: Any, feed: SessionFeed, *_: Any) -> Iterator[str]:
        feeds.append(feed)
        for name in feed.readings.pictures.sizes:
            feed.readings.pictures.ask(name)
        yield ""

    monkeypatch.setattr(session_run, "opened_page", opened)
    path = tmp_path / "room.yaml"
    path.write_text(CONFIG)
    options = ["--fast", "--ticks", "30", "--no-live", "--state-dir", str(tmp_path / "state")]
    assert invoke(["run", str(path), *options, *(["--page", "--port", "0"] if has_page else [])]) == 0
    (feed,) = feeds
    found = feed.readings.paths.plain("room")
    if not has_page:
        assert (found, feed.readings.pictures.sizes) == (None, {})
        return
    assert found is not None
    assert (found["source"], found["channels"]) == ("room.place", ["column", "row"])
    while feed.take_in():
        pass
    assert feed.live.report is not None
    (world,) = feed.live.report.facts.acting
    assert world.num_episodes >= 2
    assert [each["number"] for each in found["episodes"]] == [world.num_episodes + 1, world.num_episodes]
    assert found["episodes"][0]["returns"][-1] == pytest.approx(world.episode_return)
    assert found["episodes"][1]["steps"] == list(range(9))
    assert feed.readings.pictures.sizes == {"frame": (12, 8)}
    assert feed.readings.pictures.num_copies("frame") >= 1
