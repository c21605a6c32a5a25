"""Peripheral mailboxes (records) between processes, over POSIX shared memory."""
