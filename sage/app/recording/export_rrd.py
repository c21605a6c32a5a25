"""`sage recording export --format rrd`: a recording as a file of rerun's viewer.

Invariant: the file is complete or not there, and no file is written over. Memory does not grow with the
length of the recording, but for the index of the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sage.app.recording.channels import ChannelSpec
from sage.app.recording.rerun_package import import_rerun, new_stream
from sage.app.recording.rerun_sink import RerunSink
from sage.app.terminal.errors import UserError
from sage.durable import replacing
from sage.errors import SageError
from sage.sensors.recordings.mcap_file import McapFile
from sage.sensors.recordings.recorded_stream import RUN_RECORD, start_of

_OPTION = "--format rrd"


def export_rrd(path: Path, out: Path) -> Path:
    """The file that is written. UserError for a recording that cannot be read, an output that exists or
    cannot be written, and without the package rerun-sdk.
    """
    if out.suffix != ".rrd":
        raise UserError(f"--out {out}: is not the name of a rerun file: give one that ends in .rrd")
    if out.exists():
        raise UserError(f"--out {out}: exists, and no file is written over: give another name")
    rerun = import_rerun(_OPTION)
    try:
        with McapFile(path) as file:
            start_ns = start_of(file)
            with replacing(out) as partial:
                _write(rerun, file, partial, start_ns)
    except SageError as error:
        raise UserError(str(error)) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{out}: {reason}: give a file that can be written") from error
    except RuntimeError as error:  # of rerun, which does not say why
        reason = " ".join(str(error).split())
        raise UserError(f"{out}: cannot be written ({reason}): free space, or give another file") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: a message cannot be exported ({reason}): run `sage recording check {path}`"
        ) from error
    return out


def _write(rerun: Any, file: McapFile, target: Path, start_ns: int) -> None:
    target.touch()  # an error with its reason, which rerun's lacks
    run = file.metadata()[RUN_RECORD]
    stream = new_stream(rerun, _OPTION, recording_id=run.get("session"))
    with stream:
        stream.save(target)
        stream.send_recording_name(
            f"{run.get('name', '')} {run.get('session', '')}".strip() or file.path.name
        )
        sink = RerunSink(rerun, stream)
        sink.begin(start_ns)
        _copy(file, sink)
    rerun.chunk.RrdReader(target).store()  # RuntimeError or ValueError for a file without its end


def _copy(file: McapFile, sink: RerunSink) -> None:
    """Channels without messages are left out."""
    numbers: dict[int, int] = {}
    for channel in file.channels():
        if file.count_of(channel):
            schema = file.summary.schemas.get(channel.schema_id)
            spec = ChannelSpec(
                topic=channel.topic,
                schema_name="" if schema is None else schema.name,
                schema={} if schema is None else json.loads(schema.data),
                metadata=dict(channel.metadata),
            )
            numbers[channel.id] = sink.add_channel(spec)
    for _, channel, record in file.messages():
        if channel.id in numbers:
            sink.write(
                numbers[channel.id],
                record.data,
                log_ns=record.log_time,
                publish_ns=record.publish_time,
                sequence=record.sequence,
            )
