"""The attachments that the options of `sage run` and `sage replay` ask for."""

from __future__ import annotations

from pathlib import Path

from sage.app.session.attachments import Attachment, Attachments
from sage.app.terminal.errors import need_option


def check_without(max_bytes: int | None, *, is_jpeg: bool) -> None:
    """UserError for options of a recording where there is none."""
    given = {f"--record-max-bytes {max_bytes}": max_bytes is not None, "--record-jpeg": is_jpeg}
    need_option("--record", given)


def attachments(
    record: Path | None,
    *,
    max_bytes: int | None = None,
    jpeg: bool = False,
    foxglove: int | None = None,
    rerun: int | None = None,
    others: tuple[Attachment, ...] = (),
) -> Attachments:
    """UserError for options that do not fit, and for a package that is missing."""
    found = list(others)
    if record is None:
        check_without(max_bytes, is_jpeg=jpeg)
    else:
        from sage.app.recording.recorder import Recorder

        found.append(Recorder(record, max_bytes=max_bytes, jpeg=jpeg))
    if foxglove is not None:
        from sage.app.recording.foxglove_sink import FoxgloveSink
        from sage.app.recording.live_server import LiveServer

        found.append(LiveServer("Foxglove", lambda name: FoxgloveSink(foxglove, name=name)))
    if rerun is not None:
        from sage.app.recording.live_server import LiveServer
        from sage.app.recording.rerun_sink import RerunServer

        found.append(LiveServer("rerun", lambda name: RerunServer(rerun, name=name)))
    return Attachments(found)
