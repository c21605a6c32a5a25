"""Why sources were skipped, stored and read back."""

from __future__ import annotations

from dataclasses import replace

from sage.app.store.skipped import pack_skipped, with_skipped
from sage.runtime.report import SourceFacts

ATTENDED = SourceFacts(name="a", status="running", sequence=1, age_ns=2, is_fresh=True, is_attended=True)
IDLE = replace(ATTENDED, is_fresh=False, is_attended=False, skipped="not due")
BROKEN = replace(IDLE, status="quarantined", skipped="quarantined")
CROWDED = replace(ATTENDED, is_attended=False, skipped="budget")


def test_reasons_return_and_the_expected_ones_take_no_space():
    for sources, is_packed in (((ATTENDED, IDLE, BROKEN), False), ((ATTENDED, CROWDED, BROKEN), True)):
        packed = pack_skipped(sources)
        assert bool(packed) is is_packed
        assert with_skipped([replace(source, skipped="") for source in sources], packed) == sources


def test_a_row_of_an_earlier_version_has_no_reason_for_a_fresh_source():
    assert with_skipped([replace(CROWDED, skipped="")], ())[0].skipped == ""
