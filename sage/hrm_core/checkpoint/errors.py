"""The error of every reader of model files."""

from __future__ import annotations

from sage.errors import DataError


class CheckpointError(DataError):
    """A file has no model that SAGE can load. The message is one line."""
