"""A hub's end: whatever one mailbox raises, the others are closed and their names are gone."""

import pytest

from sage.mailbox import Hub, MailboxClosed, MailboxError, ManualClock
from sage.mailbox.shared.memory.segment import path_of


def test_an_error_of_one_mailbox_does_not_prevent_the_close_of_others(monkeypatch):
    hub = Hub(ManualClock())
    first, stuck, last = (
        hub.shared_focus(name, slot_bytes=64, engine="plain") for name in ("first", "stuck", "last")
    )
    close = stuck.close

    def fail():
        raise MailboxError("another process has stopped inside an operation")

    monkeypatch.setattr(stuck, "close", fail)
    with pytest.raises(MailboxError, match="has stopped inside an operation"):
        hub.close()
    for box in (first, last):
        with pytest.raises(MailboxClosed):
            box.try_receive()
    assert not any(path_of(box.name).exists() for box in (first, stuck, last))
    close()
