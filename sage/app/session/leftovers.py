"""Shared mailboxes of sessions that were killed: without this their memory in /dev/shm is never freed."""

from __future__ import annotations

import structlog

log = structlog.get_logger("sage.app")


def remove_leftovers() -> int:
    """Remove this user's shared mailboxes whose processes are all dead; returns how many."""
    from sage.mailbox.shared.memory.census import remove_abandoned

    removed = remove_abandoned()
    if removed:
        num_bytes = sum(found.resident_bytes for found in removed)
        log.warning(
            "shared mailboxes of processes that were killed are removed",
            mailboxes=len(removed),
            mib=round(num_bytes / 2**20, 1),
        )
    return len(removed)
