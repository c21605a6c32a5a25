"""The root of every error that SAGE raises on purpose.

    SageError
    ├── InputError        a value, option or call is wrong; also a ValueError
    ├── DataError         a file's content is wrong or damaged; also a ValueError
    ├── UserError         a command line is wrong; one line, exit code 2      (sage.app.terminal.errors)
    ├── MailboxError      full, empty, closed, peer died, lease expired       (sage.mailbox.errors)
    ├── SensorError       a device failed, is absent, or ended                (sage.sensors.contract)
    ├── TrainingError     diverged, loader failed, cannot resume              (sage.hrm_core.training.errors)
    └── ServiceFull, ServiceClosed, TaskFailed                                (sage.hrm_core.solving.service)

Any other exception is a defect in SAGE or in a plug-in.
"""

from __future__ import annotations


class SageError(Exception):
    """Root of SAGE's errors. The message states what failed, the value, and the remedy."""


class InputError(SageError, ValueError):
    """A value, an option or a call is wrong."""


class DataError(SageError, ValueError):
    """A file's content is wrong, damaged, or of another format."""


class Terminated(SystemExit):
    """SIGTERM, raised by the handler wherever the main thread is: what is around a plug-in passes it on."""


#: What a plug-in may raise. sys.exit() in it is its own fault and does not end the program.
PLUGIN_ERRORS = (Exception, SystemExit)
