"""Memories of fixed capacity: H-memory with recall, replay, examination."""
