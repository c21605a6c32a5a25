"""Errors that end a training run.

TrainingError
    LoaderError        the task raised an error, or returned no rows in time
    TrainingDiverged   too many consecutive steps were not finite
    ResumeError        a checkpoint is missing, damaged, or of another run (also an InputError)
      DamagedCheckpoint  its files are not as they were written
"""

from __future__ import annotations

from sage.errors import InputError, SageError


class TrainingError(SageError, RuntimeError):
    """A run ended early. The message is one line."""


class LoaderError(TrainingError):
    """No training rows: the task raised an error, or returned none in time."""


class TrainingDiverged(TrainingError):
    """Losses or gradients were not finite. The message names the last good checkpoint."""


class ResumeError(TrainingError, InputError):
    """A run cannot resume from this checkpoint. The message states the file, the reason and the remedy."""


class DamagedCheckpoint(ResumeError):
    """A file of a checkpoint is missing, altered or cannot be read. fault: the message without the remedy."""

    def __init__(
        self, fault: str, remedy: str = "resume from an older checkpoint, or start a new run"
    ) -> None:
        super().__init__(f"{fault}: {remedy}")
        self.fault = fault
