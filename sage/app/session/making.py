"""What building a device needs: its context, and errors that name its place in the configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from sage.app.config.entry import DeviceEntry
from sage.app.diagnosis.faults import FaultBoard
from sage.app.terminal.errors import UserError
from sage.errors import SageError, pass_on
from sage.sensors.contract import SensorContext, SensorError, SensorSpec
from sage.sensors.driver.calibration import CalibrationFolder

DeviceT = TypeVar("DeviceT")
#: Of a sensor's mailbox.
NUM_SLOTS = 4


class SensorWorld:
    """The context that sensors are made with. `begin` sets the run's epoch.

    calibrations: where sensors keep theirs; None in a replay, so that equal runs have equal results.
    faults: sensors of this process are faulted by it; None where the run does not permit that.
    """

    def __init__(
        self,
        context: SensorContext,
        calibrations: CalibrationFolder | None = None,
        faults: FaultBoard | None = None,
    ) -> None:
        self.context = context
        self.calibrations = calibrations
        self.faults = faults

    def begin(self, epoch_ns: int) -> None:
        self.context = dataclasses.replace(self.context, epoch_ns=epoch_ns)


def made(group: str, entry: DeviceEntry, make: Callable[[], DeviceT]) -> DeviceT:
    """The device. SensorError as it is raised; UserError for whatever else its constructor raises."""
    try:
        return make()
    except (SensorError, UserError):
        raise
    except SageError as error:
        raise UserError(explain(group, entry, error)) from error
    except BaseException as error:  # around a plug-in
        pass_on(error)
        raise UserError(
            f"{group}.{entry.name}: {entry.kind} cannot be made: {type(error).__name__}: {error}: correct the"
            " plug-in, or set enabled: false"
        ) from error


def explain(group: str, entry: DeviceEntry, error: Exception) -> str:
    """A device's messages begin with its name, which is in the key already."""
    return f"{group}.{entry.name}: {str(error).removeprefix(f'{entry.name}: ')}"


def slot_bytes(spec: SensorSpec) -> int:
    """Of a mailbox for its readings."""
    return max(spec.tensor.num_bytes, 1)
