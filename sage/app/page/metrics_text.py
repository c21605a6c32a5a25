"""The session's figures in Prometheus' text format (version 0.0.4), without a package.

Invariant: one type and one help line a family; a figure that is undefined has no sample; label values are
escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sage.mailbox.exposition import prometheus_text
from sage.mailbox.hub import HubStatistics

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
#: Part of a frame, key in it, metric, type, help.
_FIGURES = (
    ("status", "tick", "sage_ticks_total", "counter", "Ticks so far."),
    ("status", "tick_hz", "sage_tick_rate_hertz", "gauge", "Ticks per second over the last 5 s."),
    ("status", "tick_ms_p50", "sage_tick_p50_milliseconds", "gauge", "Median duration of recent ticks."),
    ("status", "tick_ms_p99", "sage_tick_p99_milliseconds", "gauge", "99th percentile of recent ticks."),
    ("status", "num_overruns", "sage_tick_overruns_total", "counter", "Ticks longer than their period."),
    ("status", "secs_since_tick", "sage_tick_age_seconds", "gauge", "Time since the last tick ended."),
    ("status", "is_paused", "sage_paused", "gauge", "1 while the session is paused."),
    ("coherence", "coherence", "sage_coherence", "gauge", "Coherence, 0 to 1."),
    ("coherence", "agreement", "sage_agreement", "gauge", "Agreement of the modules."),
    ("coherence", "correctness", "sage_correctness", "gauge", "Correctness of predictions, 0 to 1."),
    ("coherence", "surprise", "sage_surprise", "gauge", "Mean surprise of the sources, 1 is expected."),
    ("memory", "num_kept", "sage_memory_experiences", "gauge", "Experiences in memory."),
    ("memory", "num_seen", "sage_memory_seen_total", "counter", "Experiences offered to memory."),
    ("learning", "num_practice_steps", "sage_practice_steps_total", "counter", "Training steps of practice."),
    ("learning", "gate", "sage_gate", "gauge", "Share of the model's correction in use, 0 to 1."),
    ("sleep", "num", "sage_nights_total", "counter", "Nights that ended."),
    ("sleep", "is_asleep", "sage_asleep", "gauge", "1 during a night."),
)
_OF_SOURCES = (
    ("trust", "sage_source_trust", "gauge", "Trust, 0 to 1; none while not judged."),
    ("weight", "sage_source_weight", "gauge", "Weight of the source in the tick, 0 to 1."),
    ("age_ms", "sage_source_age_milliseconds", "gauge", "Age of the newest reading at the last tick."),
    ("rate_hz", "sage_source_rate_hertz", "gauge", "Readings per second over the last 5 s."),
    ("surprise", "sage_source_surprise", "gauge", "Surprise, 1 is expected."),
    ("num_dropped", "sage_source_dropped_total", "counter", "Readings that the loop never saw."),
    ("num_faults", "sage_source_faults_total", "counter", "Faults of the driver or the plug-in."),
)
_OF_LEVELS = (
    ("num_answered", "sage_puzzles_answered_total", "counter", "Answers with a result."),
    ("num_right", "sage_puzzles_right_total", "counter", "Right answers."),
)
_OF_WORK = (
    ("num_segments", "sage_work_segments_total", "counter", "Segments of the budget for a device's work."),
    ("num_made", "sage_work_results_total", "counter", "Results of a device's work within the budget."),
)


def metrics_text(frame: Mapping[str, Any], mailboxes: HubStatistics | None) -> str:
    """frame: of sage.app.page.view. The complete text, ending with a line feed."""
    lines = []
    for part, key, name, kind, about in _FIGURES:
        lines += _family(name, kind, about, [("", frame.get(part, {}).get(key))])
    state = frame["status"]["state"]
    lines += _family("sage_state", "gauge", "1 for the current state.", [(_label("state", state), 1)])
    for key, name, kind, about in _OF_SOURCES:
        samples = [
            (_label("source", each["name"]), each[key])
            for each in frame.get("sources", ())
            if key != "trust" or each["is_judged"]
        ]
        lines += _family(name, kind, about, samples)
    for key, name, kind, about in _OF_LEVELS:
        samples = [
            (_label("stream", stream["stream"], "level", level["name"]), level[key])
            for stream in frame.get("puzzles", ())
            for level in stream["levels"]
        ]
        lines += _family(name, kind, about, samples)
    for key, name, kind, about in _OF_WORK:
        samples = [(_label("work", each["name"]), each[key]) for each in frame.get("work", ())]
        lines += _family(name, kind, about, samples)
    return "\n".join(lines) + "\n" + ("" if mailboxes is None else prometheus_text(mailboxes))


def _family(name: str, kind: str, about: str, samples: Iterable[tuple[str, Any]]) -> list[str]:
    shown = [f"{name}{labels} {float(value):.9g}" for labels, value in samples if value is not None]
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}", *shown] if shown else []


def _label(*parts: str) -> str:
    pairs = zip(parts[::2], parts[1::2])
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in pairs) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
