"""Associative memory of constant size: fast weights from keys to values, and returns for late reward."""
