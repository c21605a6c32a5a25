"""Log lines: to stderr, as JSON where stderr is not a terminal. Invariant: stdout has only a command's
output.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


def log_to_stderr() -> None:
    """Call once, before the first line. sys.stderr is looked up for each line, so that it may be
    redirected.
    """
    is_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer(),
        ],
        # No PrintLogger: its "stdout" is the stream of when structlog was imported. Where that was stderr,
        # as inside `printing_to_stderr`, it prints what was meant for stderr to stdout.
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


@contextmanager
def only_warnings() -> Iterator[None]:
    """Log to stderr, warnings and errors only; the configuration before is restored at the end."""
    was_configured, before = structlog.is_configured(), structlog.get_config()
    log_to_stderr()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        yield
    finally:
        # Configured with its own defaults, structlog would count as configured and log to stdout.
        if was_configured:
            structlog.configure(**before)
        else:
            structlog.reset_defaults()
