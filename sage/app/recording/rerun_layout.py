"""The layout that a recording opens with in rerun: sources above, trust, surprise and coherence below, and
what is logged as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sage.app.recording.channels import COHERENCE_TOPIC, SLEEP_TOPIC, TICK_TOPIC
from sage.app.recording.rerun_entities import Entities

#: Sources of one tab.
_NUM_IN_TAB = 9
#: The timeline that is shown first: time since the start of the session.
SESSION_TIME = "session_time"
_VIEWS = {
    "series": "TimeSeriesView",
    "picture": "Spatial2DView",
    "tensor": "TensorView",
    "bars": "BarChartView",
}


def layout_of(blueprint: Any, sources: Sequence[Entities]) -> Any:
    """blueprint: the module rerun.blueprint.  sources: of all channels; pictures come first."""
    order = ("picture", "pose", "tensor", "bars", "series")
    shown = sorted((each for each in sources if each.kind in order), key=lambda each: order.index(each.kind))
    views = [_view(blueprint, each) for each in shown]
    pages = [views[at : at + _NUM_IN_TAB] for at in range(0, len(views), _NUM_IN_TAB)]
    tabs = [blueprint.Grid(*page, name=f"sources {at + 1}") for at, page in enumerate(pages)]
    figures = [
        blueprint.TimeSeriesView(origin=f"{TICK_TOPIC}/{name}", name=name)
        for name in ("trust", "surprise", "coherence")
    ]
    texts = blueprint.Tabs(
        blueprint.TextLogView(origin="/", name="log"),
        blueprint.TimeSeriesView(origin=SLEEP_TOPIC, name="nights"),
        blueprint.TimeSeriesView(origin=COHERENCE_TOPIC, name="coherence of windows"),
        blueprint.TimeSeriesView(origin=f"{TICK_TOPIC}/actions", name="actions"),
    )
    state = blueprint.StateTimelineView(origin=f"{TICK_TOPIC}/state", name="state")
    rows = [blueprint.Horizontal(*figures), blueprint.Horizontal(texts, state)]
    if tabs:
        rows.insert(0, blueprint.Tabs(*tabs) if len(tabs) > 1 else tabs[0])
    return blueprint.Blueprint(blueprint.Vertical(*rows), blueprint.TimePanel(timeline=SESSION_TIME))


def _view(blueprint: Any, each: Entities) -> Any:
    if each.kind == "pose":  # from outside of what turns
        return blueprint.Spatial3DView(origin="/", contents=[each.path], name=each.title)
    return getattr(blueprint, _VIEWS[each.kind])(origin=each.path, contents=[each.path], name=each.title)
