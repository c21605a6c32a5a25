"""What can end a training run, beside its length.

TrainingError
    LoaderError        the task raised, or gave no rows in time
    TrainingDiverged   too many steps in a row were not finite
    ResumeError        a checkpoint that is missing, torn, or another run's (a InputError: whoever gave it can
    mend it)
"""

from __future__ import annotations

from sage.errors import InputError, SageError


class TrainingError(SageError, RuntimeError):
    """A run ended before its time. One line."""


class LoaderError(TrainingError):
    """No training rows: the task's fault, raised again from where it happened, or a hang."""


class TrainingDiverged(TrainingError):
    """Losses or gradients stopped being finite. Names the last good checkpoint."""


class ResumeError(TrainingError, InputError):
    """No run can go on from there: which file, what is wrong, what to do."""
