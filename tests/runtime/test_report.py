"""Facts, their digest and their plain form: one NaN, every field given, nothing of timing."""

from __future__ import annotations

import dataclasses
import json
import math
import struct

from sage.runtime.report import (
    CoherenceFacts,
    Event,
    LearningFacts,
    MemoryFacts,
    SourceFacts,
    State,
    TickFacts,
    to_plain,
)

SOURCE = SourceFacts(name="a", status="running", sequence=1, age_ns=2, is_fresh=True, is_attended=True)
FACTS = TickFacts(
    tick=1,
    time_ns=2,
    state=State.WAKE,
    num_segments=1,
    value=math.nan,
    sources=(SOURCE,),
    coherence=CoherenceFacts(),
    memory=MemoryFacts(),
    learning=LearningFacts(),
    actions=(),
    events=(Event(kind="x", tick=1),),
)


def test_every_field_of_a_source_is_in_the_digest():
    """All but is_judged and skipped, which follow from other facts and the configuration."""
    found = {FACTS.digest()}
    for field in dataclasses.fields(SourceFacts):
        value = getattr(SOURCE, field.name)
        other = not value if isinstance(value, bool) else f"{value}x" if isinstance(value, str) else 7
        found.add(
            dataclasses.replace(FACTS, sources=(dataclasses.replace(SOURCE, **{field.name: other}),)).digest()
        )
    assert len(found) == len(dataclasses.fields(SourceFacts)) - 1


def test_all_nans_are_one_and_zero_is_not_minus_zero():
    (odd,) = struct.unpack(">d", bytes.fromhex("fff8000000000001"))
    assert math.isnan(odd)
    assert dataclasses.replace(FACTS, value=odd).digest() == FACTS.digest()
    assert dataclasses.replace(FACTS, value=0.0).digest() != dataclasses.replace(FACTS, value=-0.0).digest()


def test_plain_is_json_with_null_for_what_is_undefined():
    plain = to_plain(dataclasses.replace(FACTS, value=math.inf))
    assert plain["value"] is None
    assert plain["state"] == "wake"
    assert plain["sources"][0]["trust"] is None
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
