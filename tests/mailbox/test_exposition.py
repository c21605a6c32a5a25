"""Prometheus text: what a scraper reads is what was counted."""

import re

import numpy as np

from sage.mailbox import Hub, ManualClock
from sage.mailbox.exposition import prometheus_text

_SAMPLE = re.compile(r'^[a-z_]+\{([a-z]+="(\\.|[^"\\])*",?)*\} -?[0-9.e+-]+$')


def _hub() -> Hub:
    hub = Hub(ManualClock(1_000))
    ring, box = hub.peripheral("records", capacity=8), hub.focus('a "camera"', slot_bytes=64)
    subscription = ring.subscribe()
    ring.push_many(np.zeros(20, dtype=ring.dtype))
    subscription.pop_many(100)
    box.send(np.zeros(3), stamp_ns=0, sequence=0, producer=7)
    with box.receive(timeout_secs=0.0):
        pass
    return hub


def test_every_count_has_its_family_and_labels():
    with _hub() as hub:
        text = prometheus_text(hub.snapshot())
    assert 'sage_mailbox_pushed_total{mailbox="records",kind="peripheral"} 20' in text
    assert 'sage_mailbox_lost_total{mailbox="records",subscriber="subscriber-1"} 12' in text
    assert r'sage_mailbox_copied_bytes_total{mailbox="a \"camera\"",kind="focus"} 24' in text
    assert r'sage_mailbox_dropped_total{mailbox="a \"camera\"",producer="7",reason="expired"} 0' in text
    assert r'sage_mailbox_slots{mailbox="a \"camera\"",state="free"} 4' in text


def test_the_text_has_the_format_of_a_scrape():
    with _hub() as hub:
        lines = prometheus_text(hub.snapshot()).splitlines()
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
    samples = [line for line in lines if not line.startswith("#")]
    assert all(_SAMPLE.match(line) for line in samples)
    assert {line.split("{")[0] for line in samples} == set(families)


def test_an_empty_hub_gives_an_empty_text():
    with Hub(ManualClock()) as hub:
        assert prometheus_text(hub.snapshot()) == ""
