"""The root of every error that SAGE raises on purpose.

    SageError
    ├── InputError        a value, option or call is wrong; also a ValueError
    ├── DataError         a file's content is wrong or damaged; also a ValueError
    ├── UserError         a command line is wrong; one line, exit code 2      (sage.app.terminal.errors)
    ├── MailboxError      full, empty, closed, peer died, lease expired       (sage.mailbox.errors)
    ├── SensorError       a device failed, is absent, or ended                (sage.sensors.contract)
    ├── TrainingError     diverged, loader failed, cannot resume              (sage.hrm_core.training.errors)
    └── ServiceFull, ServiceClosed, TaskFailed, ModelFailed                   (sage.hrm_core.solving.service)

Any other exception is a defect in SAGE or in a plug-in.
"""

from __future__ import annotations

import threading


class SageError(Exception):
    """Root of SAGE's errors. The message states what failed, the value, and the remedy."""


class InputError(SageError, ValueError):
    """A value, an option or a call is wrong."""


class DataError(SageError, ValueError):
    """A file's content is wrong, damaged, or of another format."""


class Terminated(SystemExit):
    """SIGTERM, raised by the handler wherever the main thread is."""


class Interrupted(BaseException):
    """A signal of a training run, where it ends at once what changes no weights."""


#: Signals, which Python raises in the main thread alone.
_SIGNALS = (KeyboardInterrupt, Terminated, Interrupted)
#: Of asyncio and trio, by name: neither is imported for this.
_CANCELLATIONS = frozenset({"CancelledError", "Cancelled"})


def pass_on(error: BaseException) -> None:
    """Raise `error` again where it is no fault of the plug-in that it came through. The first line of what
    catches BaseException around a plug-in.

    A fault is whatever else a plug-in raises: sys.exit() in it, and the panics of extension modules (PyO3's
    derive from BaseException), do not end the program. On a thread other than the main one a signal or a
    cancellation is the plug-in's own.
    """
    if isinstance(error, GeneratorExit):
        raise error
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and (isinstance(error, _SIGNALS) or type(error).__name__ in _CANCELLATIONS):
        raise error
