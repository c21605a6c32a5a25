"""The package rerun-sdk, imported when it is asked for.

Invariant: no viewer is started, nothing is sent over a network, and nothing is written outside of the file
that is asked for: streams of their own are used, never rerun's `init` or `spawn`.
"""

from __future__ import annotations

import os
from typing import Any

from sage.app.terminal.errors import UserError

#: What a viewer groups recordings, and keeps its own layouts, by.
APPLICATION = "sage"


def import_rerun(option: str) -> Any:
    """The module. option: what needs it. UserError without the package."""
    before = os.environ.get("RUST_LOG")
    os.environ.setdefault("RUST_LOG", "off")  # read at the import: its errors are raised to us as well
    try:
        import rerun
    except ImportError as error:
        raise UserError(
            f"{option} needs the package rerun-sdk, a download of 170 MB: pip install 'sage-runtime[rerun]'"
        ) from error
    finally:
        if before is None:
            os.environ.pop("RUST_LOG", None)
    rerun.set_strict_mode(True)  # what cannot be logged is an error, not a line on stderr
    return rerun


def new_stream(rerun: Any, option: str, *, recording_id: str | None = None) -> Any:
    """A stream without a sink, with the timelines that are set alone. UserError where rerun is switched off.

    recording_id: of the session; a new one when None.
    """
    stream = rerun.RecordingStream(APPLICATION, recording_id=recording_id, send_properties=False)
    if not stream.is_enabled():
        value = os.environ.get("RERUN", "")
        raise UserError(f"{option}: the environment variable RERUN is {value!r}: unset it")
    stream.set_log_time_enabled(False)
    stream.set_log_tick_enabled(False)
    return stream
