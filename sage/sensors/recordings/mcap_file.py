"""MCAP files: opened, with every fault as one line.

Invariant: a file without an index, as a crash leaves it, is refused with the command that rebuilds it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

from sage.errors import DataError
from sage.sensors.contract import SensorUnavailable

if TYPE_CHECKING:
    from mcap.reader import McapReader
    from mcap.records import Channel
    from mcap.summary import Summary

MAGIC = b"\x89MCAP0\r\n"
#: Opcode, length, start of the summary, start of its offsets, checksum of the summary.
_FOOTER = struct.Struct("<BQQQI")


def import_mcap(module: str) -> ModuleType:
    """A module of the package mcap. SensorUnavailable without it."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise SensorUnavailable(
            "MCAP files need the package mcap: pip install 'sage-runtime[recording]'"
        ) from error


def faults() -> tuple[type[Exception], ...]:
    """What the package raises for a damaged file."""
    errors = import_mcap("mcap.exceptions")
    zstandard = import_mcap("zstandard")
    values = (ValueError, KeyError, IndexError, TypeError, EOFError, OSError, MemoryError, RuntimeError)
    return (errors.McapError, zstandard.ZstdError, struct.error, *values)


def _has_end(stream: IO[bytes]) -> bool:
    """Whether the file ends as one that is whole, with the index's checksum where it has one."""
    size = stream.seek(0, 2)
    if size < len(MAGIC) + _FOOTER.size + len(MAGIC):
        return False
    stream.seek(size - _FOOTER.size - len(MAGIC))
    footer = stream.read(_FOOTER.size)
    if stream.read(len(MAGIC)) != MAGIC:
        return False
    _, _, summary_start, _, checksum = _FOOTER.unpack(footer)
    if not checksum or not summary_start:
        return True
    stream.seek(summary_start)
    summary = stream.read(size - summary_start - 4 - len(MAGIC))
    return bool(zlib.crc32(summary) == checksum)


class McapFile:
    """A file with an index, open for reading. summary: its channels, schemas and counts.

    Raises SensorUnavailable for a file that is missing, empty, of another kind, or cut.
    """

    def __init__(self, path: Path) -> None:
        reader_module = import_mcap("mcap.reader")
        self.path = path
        self._faults = faults()
        try:
            self._stream = path.open("rb")
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SensorUnavailable(f"{path}: {reason}: give an MCAP file") from error
        try:
            self._check_magic()
            limit = path.stat().st_size
            self.reader: McapReader = reader_module.SeekingReader(
                self._stream, validate_crcs=True, record_size_limit=limit
            )
            self.summary: Summary = self._summary()
        except BaseException:
            self._stream.close()
            raise

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(sorted({channel.topic for channel in self.summary.channels.values()}))

    @property
    def num_messages(self) -> int:
        statistics = self.summary.statistics
        return 0 if statistics is None else statistics.message_count

    def channels(self) -> tuple[Channel, ...]:
        return tuple(self.summary.channels.values())

    def schema_name(self, channel: Channel) -> str:
        schema = self.summary.schemas.get(channel.schema_id)
        return "" if schema is None else schema.name

    def count_of(self, channel: Channel) -> int:
        """Its messages."""
        statistics = self.summary.statistics
        return 0 if statistics is None else statistics.channel_message_counts.get(channel.id, 0)

    def messages(self, **wanted: Any) -> Iterator[tuple[Any, Any, Any]]:
        """(schema, channel, message) in the order of log times. wanted: as McapReader.iter_messages has it.
        DataError where the file is damaged.
        """
        with self._damage():
            yield from self.reader.iter_messages(**wanted)

    def metadata(self) -> dict[str, dict[str, str]]:
        """By name; the last of each name."""
        with self._damage():
            return {record.name: dict(record.metadata) for record in self.reader.iter_metadata()}

    def attachment(self, name: str) -> bytes | None:
        with self._damage():
            found = [each.data for each in self.reader.iter_attachments() if each.name == name]
        return found[-1] if found else None

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> McapFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except self._faults as error:
            raise DataError(
                f"{self.path}: the file is damaged ({error}): run `sage recording recover {self.path}`"
            ) from error

    def _check_magic(self) -> None:
        start = self._stream.read(len(MAGIC))
        if not start:
            raise SensorUnavailable(f"{self.path}: the file is empty: give an MCAP file")
        if start != MAGIC:
            raise SensorUnavailable(f"{self.path}: not an MCAP file: give one that `--record` wrote")
        self._stream.seek(0)

    def _summary(self) -> Summary:
        try:
            summary = self.reader.get_summary() if _has_end(self._stream) else None
        except self._faults:
            summary = None
        if summary is None:
            raise SensorUnavailable(
                f"{self.path}: the file was cut and has no index: run `sage recording recover {self.path}`"
            )
        return summary
