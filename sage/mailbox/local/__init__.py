"""Mailboxes within one process."""
