"""Where log lines go: to stderr, as JSON when nobody reads them there. Invariant: stdout belongs to what was
asked for.
"""

from __future__ import annotations

import sys

import structlog


def log_to_stderr() -> None:
    """Call once, before the first line. The stream is looked up at each line, so that a redirected one is
    followed.
    """
    is_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer(),
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
