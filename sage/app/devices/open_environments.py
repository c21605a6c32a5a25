"""Which kinds of environments this machine can open: each is made and opened once, then closed.

Invariant: no action is done; what a kind raises is its reason, never an error of the caller.
"""

from __future__ import annotations

from sage.app.config.registry import plugins
from sage.app.devices.finding import Finding
from sage.app.devices.kinds import configure_kind, construct
from sage.app.terminal.errors import UserError
from sage.errors import SageError, pass_on
from sage.mailbox.clock import RealClock
from sage.sensors.contract import SensorContext

#: What a kind with keys that have no default is opened with.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "gymnasium": ("id=CartPole-v1",),
    "puzzles": ("task=sudoku", "options.size=4"),
}


def examine_environments() -> tuple[Finding, ...]:
    """One finding for each kind, built in or installed."""
    return tuple(_examine(kind) for kind in plugins("environments"))


def _examine(kind: str) -> Finding:
    topic = f"environment {kind}"
    example = EXAMPLES.get(kind, ())
    try:
        device, config = configure_kind("environments", kind, example)
    except UserError as error:
        return Finding(topic=topic, found="not opened", why=f"{error}: sage environments check {kind} --set")
    try:
        environment = construct(device, config, SensorContext(clock=RealClock(), epoch_ns=0))
        try:
            environment.open()
        finally:
            environment.close()
    except SageError as error:
        return Finding(topic=topic, found="cannot be opened", why=str(error))
    except BaseException as error:  # around a plug-in
        pass_on(error)
        return Finding(topic=topic, found="cannot be opened", why=f"{type(error).__name__}: {error}")
    missing = [f"without {name}: {reason}" for name, reason in getattr(environment, "missing", ())]
    opened = f"opened with {', '.join(example)}" if example else "opened with its defaults"
    return Finding(topic=topic, found="ready", why="; ".join([opened, *missing]))
