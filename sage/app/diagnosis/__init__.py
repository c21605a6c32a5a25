"""Naming the causes of a running session's symptoms, and faults injected into one for tests."""
