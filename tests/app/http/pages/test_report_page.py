"""The HTML report in Chromium: what its layout and its axes show."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from sage.app.config.state_dir import STORE_NAME
from sage.app.report.write import write_report
from sage.app.session.synthetic import SyntheticSession
from sage.app.store.metrics_store import MetricsStore
from sage.runtime.report import LevelExamination, SleepOutcome, SleepReport, TickReport

RECORDED = """
window.written = [];
const write = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
  window.written.push(text);
  return write.call(this, text, ...rest);
};
"""
PAIRS = """[...document.querySelectorAll('.card dt')].map((term) => {
  const [own, other] = [term, term.nextElementSibling].map((each) => each.getBoundingClientRect());
  return Math.abs(own.top - other.top) < 2 && own.left < other.left;
})"""


def test_a_level_stands_beside_its_figures_and_an_axis_is_short(chromium: Any, tmp_path: Path) -> None:
    levels = tuple(
        LevelExamination(level=name, num=128, before=before, after=after)
        for name, before, after in (("4x4", 0.99, 1.0), ("6x6", 0.935, 0.971), ("9x9", 0.2, 0.3))
    )
    night = SleepReport(
        outcome=SleepOutcome.ACCEPTED,
        reason="better",
        tick=90,
        num_replayed=1,
        num_examined=1,
        num_steps=1,
        stream="sudoku",
        levels=levels,
    )
    with MetricsStore(tmp_path / STORE_NAME, flush_secs=0.01) as store:
        writer = store.instrument(store.begin_session())
        for item in SyntheticSession(num_ticks=200).items():
            if isinstance(item, TickReport):
                sources = [replace(each, surprise=each.surprise * 1e8) for each in item.facts.sources]
                writer.on_tick(replace(item, facts=replace(item.facts, sources=tuple(sources))))
        writer.on_sleep(night)
        assert writer.flush(20)
    chromium.call("Page.addScriptToEvaluateOnNewDocument", source=RECORDED)
    chromium.open(write_report(tmp_path).as_uri())
    chromium.until("document.querySelectorAll('figure canvas').length >= 10")
    for width in (390, 1280):
        chromium.set_width(width)
        assert chromium.run(PAIRS) == [True] * 3
    figures = [each for each in chromium.run("window.written") if re.fullmatch(r"[\d.e+-]+[kMG]?", each)]
    assert any(each.endswith("M") for each in figures)
    assert max(map(len, figures)) <= 7
