"""The relays of a run: connected to the effectors that they drive, which the loop's model then has no more.

Invariant: an effector is driven by the model or by one relay; limits of either entry apply to the relay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from sage.app.terminal.errors import UserError, nearest
from sage.errors import InputError
from sage.sensors.contract import Effector
from sage.sensors.latest import LatestReadings
from sage.sensors.limits import EffectorSettings
from sage.sensors.relay import Relay


def take_relays(effectors: list[Effector], settings: dict[str, EffectorSettings]) -> list[Relay]:
    """The relays among `effectors`, attached; they and what they drive are removed from it.

    settings: by effector; those of a driven effector are added to its relay's. UserError for an effector that
    does not exist, is driven twice, or does not fit.
    """
    relays = [effector for effector in effectors if isinstance(effector, Relay)]
    effectors[:] = [effector for effector in effectors if not isinstance(effector, Relay)]
    for relay in relays:
        if not relay.drives:
            continue
        name = relay.spec.name
        by_name = {effector.spec.name: effector for effector in effectors}
        device = by_name.get(relay.drives)
        if device is None:
            raise UserError(
                f"effectors.{name}.drives: there is no other effector {relay.drives}:"
                f" {nearest(relay.drives, by_name)}"
            )
        effectors.remove(device)
        try:
            relay.attach(device)
            settings[name] = _combined(settings, name, relay.drives)
            relay.spec.check_limits(relay.spec.limits.combined(settings[name].limits))
        except InputError as error:
            raise UserError(f"effectors.{name}: {str(error).removeprefix(f'{name}: ')}") from error
    return relays


def check_watched(latest: LatestReadings, sources: Iterable[str]) -> None:
    """UserError where a sensor derives its readings from a source that the run does not have."""
    known = tuple(sources)
    for source, watcher in latest.watchers.items():
        if source not in known:
            raise UserError(
                f"sensors.{watcher}: there is no source {source}: {nearest(source, known)}, or enable it"
            )


def _combined(settings: dict[str, EffectorSettings], relay: str, device: str) -> EffectorSettings:
    own = settings.get(relay, EffectorSettings())
    other = settings.get(device, EffectorSettings())
    return dataclasses.replace(
        own,
        limits=own.limits.combined(other.limits),
        needs=(*own.needs, *other.needs),
        is_dry=own.is_dry or other.is_dry,
    )
