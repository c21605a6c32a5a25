import subprocess
import sys

import numpy as np
import pytest

from sage.mailbox import Hub, MailboxClosed, ManualClock


@pytest.fixture
def hub():
    with Hub(ManualClock()) as hub:
        yield hub


def test_one_name_is_one_mailbox(hub):
    ring, box = hub.peripheral("summaries", capacity=16), hub.focus("camera", slots=3, slot_bytes=64)
    assert hub.peripheral("summaries") is ring
    assert hub.peripheral("summaries", capacity=16, mode="lossy") is ring
    assert hub.focus("camera", slots=3, policy="drop_oldest") is box
    assert hub.names == ("camera", "summaries")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda hub: hub.peripheral("summaries", capacity=32), "capacity=16, requested with 32"),
        (lambda hub: hub.focus("camera", slot_bytes=128), "slot_bytes=64, requested with 128"),
        (lambda hub: hub.focus("camera", policy="block"), "policy='drop_oldest', requested with 'block'"),
        (lambda hub: hub.focus("summaries"), "exists as a PeripheralMailbox, requested as a FocusMailbox"),
        (lambda hub: hub.focus("new"), "give slot_bytes"),
        (lambda hub: hub.focus(""), "name is empty"),
    ],
)
def test_other_options_for_an_existing_name_are_an_error(hub, ask, message):
    hub.peripheral("summaries", capacity=16)
    hub.focus("camera", slot_bytes=64)
    with pytest.raises(ValueError, match=message):
        ask(hub)


def test_a_snapshot_shows_every_mailbox(hub):
    hub.peripheral("b")
    hub.peripheral("a")
    hub.focus("c", slot_bytes=64).send(np.zeros(3), stamp_ns=0, sequence=0)
    snapshot = hub.snapshot()
    assert [ring.name for ring in snapshot.peripheral] == ["a", "b"]
    assert [(box.name, box.pushed, box.bytes_copied) for box in snapshot.focus] == [("c", 1, 24)]


def test_closing_the_hub_closes_all(hub):
    box = hub.focus("c", slot_bytes=64)
    hub.close()
    with pytest.raises(MailboxClosed):
        box.try_receive()
    with pytest.raises(MailboxClosed):
        hub.peripheral("late")


def test_importing_mailboxes_imports_no_torch():
    code = "import sys, sage.mailbox; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
