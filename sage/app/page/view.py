"""The session's state as JSON values: what the live stream sends and what the REST routes return a part of.

Invariant: bounded by the number of sources, effectors and puzzle streams; NaN is null.
"""

from __future__ import annotations

import math
from typing import Any

from sage.app.live.state import RATE_WINDOW_NS, LiveState, SourceMemory
from sage.app.page.feed import Remembered, SessionFeed
from sage.runtime.report import ActionFacts, SolvingFacts, State, TickFacts, to_plain

NUM_EVENTS = 12


def frame(feed: SessionFeed, control: dict[str, Any]) -> dict[str, Any]:
    """Everything that changes from tick to tick. control: the result of the verb `status`."""
    with feed.lock:
        live = feed.refresh()
        shown: dict[str, Any] = {"status": status(feed, live, control), "events": events(feed, NUM_EVENTS)}
        if live.report is None:
            return shown
        facts = live.report.facts
        return shown | {
            "sources": sources(feed, live, rates_at_ns(facts, control)),
            "coherence": {
                **_plain(facts.coherence),
                "surprise": _number(live.surprise.values()[-1]),
            },
            "activity": _plain(facts.activity),
            "memory": _plain(facts.memory),
            "memories": [_memory(each) for each in reversed(feed.memories)],
            "learning": _plain(facts.learning),
            "sleep": sleep(live, facts),
            "actions": [_action(tick, action) for tick, action in feed.actions.values()],
            "posture": _plain(facts.posture),
            "puzzles": puzzles(feed, facts),
            "worlds": _worlds(feed, live, facts),
            "work": _work(live),
            "mailboxes": _mailboxes(live),
        }


def status(feed: SessionFeed, live: LiveState, control: dict[str, Any]) -> dict[str, Any]:
    """The loop: state, ticks, durations against the budget, and what is held."""
    shown: dict[str, Any] = {
        **feed.about,
        "is_paused": control.get("is_paused", False),
        "held": control.get("held", {}),
        "effectors": control.get("effectors", []),
        "num_effector_faults": control.get("num_effector_faults", 0),
        "secs_since_tick": control.get("secs_since_tick", 0.0),
        "notices": list(live.notices),
        "tick": 0,
        "state": "starting",
    }
    if live.report is None:
        return shown
    facts = live.report.facts
    ordered = sorted(feed.total_ns)
    return shown | {
        "tick": facts.tick,
        "state": facts.state.value,
        "run_secs": facts.time_ns / 1e9,
        "tick_hz": _number(live.ticks.hz(rates_at_ns(facts, control))),
        "budget_ms": None if feed.period_ns is None else _number(feed.period_ns() / 1e6),
        "tick_ms_p50": _quantile_ms(ordered, 0.5),
        "tick_ms_p99": _quantile_ms(ordered, 0.99),
        "tick_ms": _number(live.report.timing.total_ns / 1e6),
        "model_ms": _number(live.mean_model_ns / 1e6),
        "stages_ms": {name: _number(spent / 1e6) for name, spent in live.report.timing.stages},
        "num_overruns": live.num_overruns,
        "num_segments": facts.num_segments,
        "value": _number(facts.value),
        "speed": _number(live.speed),
    }


def rates_at_ns(facts: TickFacts, control: dict[str, Any]) -> int:
    """The session's time of rates: that of the last tick, and later where none has ended for so long that no
    event of it is in their window, in a pause for example.
    """
    silent_ns = round(control.get("secs_since_tick", 0.0) * 1e9)
    return facts.time_ns + (silent_ns if silent_ns > RATE_WINDOW_NS else 0)


def sources(feed: SessionFeed, live: LiveState, now_ns: int) -> list[dict[str, Any]]:
    """picture: width and height where readings are pictures, else null.  now_ns: as rates_at_ns."""
    sizes = feed.readings.pictures.sizes
    return [
        _source(memory, now_ns) | {"picture": list(sizes[name]) if name in sizes else None}
        for name, memory in live.sources.items()
    ]


def sleep(live: LiveState, facts: TickFacts) -> dict[str, Any]:
    return {
        "is_asleep": facts.state is State.DREAM,
        "num": live.num_sleeps,
        "last": None if live.sleep is None else _plain(live.sleep),
    }


def puzzles(feed: SessionFeed, facts: TickFacts) -> list[dict[str, Any]]:
    """One entry a stream: its levels, and the puzzle in hand forming."""
    return [_stream(feed, stream) for stream in facts.solving]


def events(feed: SessionFeed, num: int) -> list[dict[str, Any]]:
    """The newest `num`, oldest first. number: counts the events of the session from 1."""
    return [
        {
            "number": number,
            "tick": event.tick,
            "kind": event.kind,
            "source": event.source,
            "message": event.message,
        }
        for number, event in list(feed.events)[-num:]
    ]


def _source(memory: SourceMemory, now_ns: int) -> dict[str, Any]:
    facts = memory.facts
    return {
        "name": facts.name,
        "status": facts.status,
        "reason": facts.reason,
        "trust": _number(facts.trust),
        "is_judged": facts.is_judged,
        "is_attended": facts.is_attended,
        "weight": _number(facts.weight),
        "age_ms": _number(facts.age_ns / 1e6) if facts.age_ns >= 0 else None,
        "rate_hz": _number(memory.rate.hz(now_ns)),
        "surprise": _number(memory.surprise),
        "skill": _number(memory.skill.skill),
        "num_dropped": facts.num_dropped,
        "num_faults": facts.num_faults,
    }


def _stream(feed: SessionFeed, facts: SolvingFacts) -> dict[str, Any]:
    means = feed.live.solving.get(facts.stream)
    trails = feed.trails.get(facts.stream)
    return {
        "stream": facts.stream,
        "level": facts.level,
        "levels": [_plain(level) for level in facts.levels],
        "num_under_way": facts.num_under_way,
        "num_steps": facts.num_steps,
        "num_swapped": facts.num_swapped,
        "teacher_trust": _number(facts.teacher_trust),
        "segments_per_answer": _number(means.num_segments) if means is not None else None,
        "confidence": _number(means.confidence) if means is not None else None,
        **({"current": None, "ended": []} if trails is None else trails.plain()),
    }


def _worlds(feed: SessionFeed, live: LiveState, facts: TickFacts) -> list[dict[str, Any]]:
    return [
        {
            **_plain(world),
            "recent_return": _number(live.returns[world.world].median),
            "recent_success": _number(live.returns[world.world].success),
            "returns": [_number(each) for each, _ in live.returns[world.world].last],
            "successes": [_number(success) for _, success in live.returns[world.world].last],
            "path": feed.readings.paths.plain(world.world),
        }
        for world in facts.acting
    ]


def _work(live: LiveState) -> list[dict[str, Any]]:
    """Of each device that asks for segments: in this tick, and since the session began."""
    return [
        {
            "name": name,
            "num_now": sums.facts.num_segments,
            "skipped": sums.facts.skipped,
            "num_segments": sums.num_segments,
            "num_made": sums.num_made,
            "trust": _number(sums.facts.work_trust),
            "skips": dict(sums.skips),
        }
        for name, sums in live.work.items()
    ]


def _memory(kept: Remembered) -> dict[str, Any]:
    return {
        "tick": kept.tick,
        "secs": _number(kept.secs),
        "salience": _number(kept.salience),
        "source": kept.source,
        "surprise": _number(kept.surprise),
        "novelty": _number(kept.novelty),
    }


def _action(tick: int, action: ActionFacts) -> dict[str, Any]:
    """The last one of an effector. tick: when it was asked."""
    shown: dict[str, Any] = _plain(action) | {"tick": tick}
    for name in ("asked", "done"):
        shown[name] = shown[name][:16]
    return shown


def _mailboxes(live: LiveState) -> dict[str, Any] | None:
    if live.mailboxes is None:
        return None
    rings, pools = live.mailboxes.peripheral, live.mailboxes.focus
    return {
        "num": len(rings) + len(pools),
        "num_messages": sum(ring.pushed for ring in rings) + sum(pool.pushed for pool in pools),
        "num_dropped": sum(pool.drops.total - pool.drops.superseded for pool in pools),
        "bytes_referenced": sum(pool.bytes_referenced for pool in pools),
        "bytes_copied": sum(pool.bytes_copied for pool in pools),
    }


def _plain(facts: Any) -> dict[str, Any]:
    plain = to_plain(facts)
    assert isinstance(plain, dict)
    return {name: _number(value) if isinstance(value, float) else value for name, value in plain.items()}


def _quantile_ms(ordered: list[int], quantile: float) -> float | None:
    """By the nearest rank."""
    if not ordered:
        return None
    return _number(ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] / 1e6)


def _number(value: float) -> float | None:
    """To five significant digits; None for what is not finite."""
    return float(f"{value:.5g}") if math.isfinite(value) else None
