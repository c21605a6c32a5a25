"""Shared-memory segments, atomics, futexes and the table of participants."""
