"""`sage sensors record`: the readings of one sensor, written to a table.

Invariant: the kind `table` replays the file with the same values and, rounded to nanoseconds, the same times.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sage.app.devices.kinds import configure_kind, construct
from sage.app.terminal.errors import UserError
from sage.durable import replacing
from sage.errors import SageError, pass_on
from sage.mailbox.clock import Clock, RealClock
from sage.sensors.contract import SensorContext, SourceExhausted

if TYPE_CHECKING:
    from collections.abc import Sequence

#: More channels, as of a picture, belong in a video file.
MAX_CHANNELS = 4096
#: Between making a sensor and the start of its recording, at least: opening a device takes time.
OPEN_NS = 50_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    name: str
    num_readings: int
    num_channels: int


def record_kind(
    kind: str, overrides: Sequence[str], *, seconds: float, out: Path, clock: Clock | None = None
) -> Recording:
    """Read the sensor for `seconds`, or to the recording's end, and write `out`.

    The file holds `<name>` (N, 1 + C) float64, time in seconds first, and `<name>__cols`, the columns' names.
    """
    if out.suffix != ".npz":
        raise UserError(f"--out {out}: give a name that ends in .npz")
    sensor_class, config = configure_kind("sensors", kind, overrides)
    clock = clock or RealClock()
    sensor, epoch_ns = _prepare(sensor_class, config, clock)
    columns = _columns(sensor.spec)
    try:
        sensor.open()
        try:
            rows = _read_rows(sensor, clock, epoch_ns, epoch_ns + round(seconds * 1e9))
        finally:
            sensor.close()
    except (SageError, OSError) as error:
        raise UserError(f"sensor {kind}: {error}") from error
    except BaseException as error:  # around a plug-in
        pass_on(error)
        raise UserError(f"sensor {kind}: {type(error).__name__}: {error}: correct the plug-in") from error
    if not rows:
        raise UserError(
            f"sensor {kind}: no reading in {seconds:g} s: record for longer, its period is"
            f" {sensor.spec.period_ns / 1e9:g} s"
        )
    table = np.array(rows, dtype=np.float64)  # (N, 1 + C)
    try:
        arrays = {sensor.spec.name: table, f"{sensor.spec.name}__cols": np.array(columns)}
        with replacing(out) as partial:
            _write(partial, arrays)
    except OSError as error:
        raise UserError(
            f"--out {out}: {(error.strerror or str(error)).lower()}: give a file that can be written"
        ) from error
    return Recording(name=sensor.spec.name, num_readings=len(rows), num_channels=len(columns) - 1)


def _write(out: Path, arrays: dict[str, np.ndarray]) -> None:
    """As np.savez_compressed does, which takes no array of the name `file` and leaves out `allow_pickle`."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _prepare(sensor_class: Any, config: Any, clock: Clock) -> tuple[Any, int]:
    """The sensor, and its epoch: late enough that it is open by then, so that a recording starts at its first
    row.
    """
    started_ns = clock.now_ns()
    construct(sensor_class, config, SensorContext(clock=clock, epoch_ns=started_ns))
    load_ns = clock.now_ns() - started_ns  # how long it takes to read a file
    epoch_ns = clock.now_ns() + 2 * load_ns + OPEN_NS
    return construct(sensor_class, config, SensorContext(clock=clock, epoch_ns=epoch_ns)), epoch_ns


def _columns(spec: Any) -> list[str]:
    num_channels = spec.tensor.num_elements
    if num_channels > MAX_CHANNELS:
        shape = " x ".join(map(str, spec.tensor.shape))
        raise UserError(
            f"sensor {spec.name}: a reading is {shape}: a table takes up to {MAX_CHANNELS} numbers; make it"
            " smaller"
        )
    return ["time", *(spec.channels or (f"c{index}" for index in range(num_channels)))]


def _read_rows(sensor: Any, clock: Clock, epoch_ns: int, stop_ns: int) -> list[list[float]]:
    """One row for each reading from the epoch on: seconds since the epoch, then its values."""
    spec = sensor.spec
    out = np.empty(spec.tensor.shape, dtype=spec.tensor.dtype)
    rows: list[list[float]] = []
    while clock.now_ns() < stop_ns:
        try:
            reading = sensor.read_into(out)
        except SourceExhausted:
            break
        if reading is None:
            clock.wait_until(min(clock.now_ns() + max(spec.period_ns // 4, 100_000), stop_ns))
        elif reading.captured_ns >= epoch_ns:
            secs = (reading.captured_ns - epoch_ns) * 1e-9
            rows.append([secs, *out.reshape(-1).astype(np.float64).tolist()])
    return rows
