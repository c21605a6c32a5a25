"""`sage replay`: a run on the readings of a recording, and its reports compared with the recorded ones.

Invariant: nothing outside is read or moved: sources are replays of their channels, effectors take actions and
do nothing. Two parts are not replays: H-memory as a sensor, which is a part of the run itself, and
environments of puzzles, which are made from their seed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sage.app.config.entry import DeviceEntry
from sage.app.config.overrides import apply_overrides
from sage.app.config.sage_config import SageConfig, build_config, load_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.recording.channels import TICK_TOPIC
from sage.app.recording.mcap_sink import CONFIG_NAME, EFFECTORS_NAME, END_NAME
from sage.app.session.attachments import SessionStart
from sage.app.session.build import Run
from sage.app.terminal.errors import UserError
from sage.errors import DataError, SageError
from sage.mailbox.clock import Clock
from sage.plain_yaml import load_plain
from sage.runtime.report import Event, Instrument, SleepReport, TickReport
from sage.sensors.contract import EffectorSpec
from sage.sensors.recordings.codec import SOURCE_KEY, SPEC_KEY, effector_spec, plain_spec
from sage.sensors.recordings.mcap_file import McapFile
from sage.sensors.recordings.recorded_sensor import RecordedConfig
from sage.sensors.recordings.recorded_stream import RUN_RECORD, end_of, start_of
from sage.sensors.recordings.stand_in import StandInConfig

#: A sensor that is a part of the run itself.
_OWN_KINDS = ("memory",)
_SUPERVISED = ("hang_secs", "max_age_secs", "backoff_secs", "max_backoff_secs")
_LIMITS = ("max_rate_hz", "max_slew", "workspace", "needs", "dry_run")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """What a recording holds of its run. sources: of the loop, in order.  num_ticks: the number of its last
    report.  is_manual: it ran on a simulated clock, so that a replay's reports can equal its own.
    """

    path: Path
    config: SageConfig
    sources: tuple[str, ...]
    effectors: tuple[EffectorSpec, ...]
    num_ticks: int
    duration_secs: float
    is_manual: bool
    digest: str


def read_run(path: Path) -> RecordedRun:
    """UserError for a file that is no whole recording of a run."""
    try:
        with McapFile(path) as file:
            start_ns, metadata = start_of(file), file.metadata()
            run, attached = metadata[RUN_RECORD], file.attachment(CONFIG_NAME)
            specs = json.loads(metadata.get(EFFECTORS_NAME, {}).get("specs", "[]"))
            described = {
                channel.metadata[SOURCE_KEY] for channel in file.channels() if SPEC_KEY in channel.metadata
            }
            last = next(file.messages(topics=[TICK_TOPIC], reverse=True), None)
            duration_ns = max(0, end_of(file) - start_ns)
    except SageError as error:
        raise UserError(str(error)) from error
    if attached is None:
        raise UserError(f"{path}: it holds no configuration: record it again")
    return RecordedRun(
        path=path.absolute(),
        config=_config_of(attached.decode(), path),
        sources=tuple(name for name in run.get("sources", "").split("\n") if name in described),
        effectors=tuple(effector_spec(text) for text in specs),
        num_ticks=0 if last is None else int(json.loads(last[2].data)["tick"]),
        duration_secs=duration_ns / 1e9,
        is_manual=run.get("clock") == "manual",
        digest=metadata.get(END_NAME, {}).get("digest", ""),
    )


def replay_config(recorded: RecordedRun, other: str | None, overrides: Sequence[str]) -> SageConfig:
    """The recorded configuration, or another, with every source that the recording has replaced by its
    replay, and every effector by one that does nothing. UserError where nothing can be replayed.
    """
    if other is not None:
        base = load_config(other, overrides)
    elif overrides:
        document = _document(recorded.config, recorded.path)
        apply_overrides(document, overrides)
        base = build_config(document)
    else:
        base = recorded.config
    own = [_replayed(entry, recorded) for entry in base.sensors if entry.enabled]
    worlds = [entry for entry in base.enabled_environments if _world_sensors(entry, base, recorded)]
    sensors = [entry for entry in own if entry is not None] + [
        each for world in worlds for each in _world_sensors(world, base, recorded)
    ]
    if not any(entry.kind == "recorded" for entry in sensors):
        raise UserError(
            f"{recorded.path}: the configuration has none of its sources: {', '.join(recorded.sources)}"
        )
    # Environments of puzzles are no sources of the loop.
    others = tuple(entry for entry in base.enabled_environments if entry not in worlds)
    update = {
        "sensors": tuple(sensors),
        "effectors": tuple(_effectors(base, worlds, recorded)),
        "environments": others,
    }
    return base.model_copy(update=update)


class ReplayCheck:
    """An Attachment: compares each report with the recorded one of the same tick. num_equal, num_compared: so
    far.  first_differing: a tick, None where all are equal.
    """

    def __init__(self, recorded: RecordedRun) -> None:
        self.num_equal = 0
        self.num_compared = 0
        self.first_differing: int | None = None
        self._recorded = recorded
        self._digest = hashlib.blake2b(digest_size=8)
        self._file = McapFile(recorded.path)
        self._pairs = self._read()
        self._next = next(self._pairs, None)

    @property
    def name(self) -> str:
        return "replay"

    def prepare(self, config: SageConfig, run: Run, clock: Clock) -> None:
        """Nothing to prepare."""

    def begin(self, start: SessionStart) -> Instrument:
        return self

    def on_tick(self, report: TickReport) -> None:
        digest, tick = report.facts.digest(), report.facts.tick
        self._digest.update(bytes.fromhex(digest))
        while self._next is not None and self._next[0] < tick:
            self._next = next(self._pairs, None)
        if self._next is None or self._next[0] != tick:
            return
        self.num_compared += 1
        if self._next[1] == digest:
            self.num_equal += 1
        elif self.first_differing is None:
            self.first_differing = tick

    def on_sleep(self, report: SleepReport) -> None:
        """Nights are not compared: what they change is in the reports that follow."""

    def on_event(self, event: Event) -> None:
        """Events are a part of the reports."""

    def notices(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        self._file.close()

    def figures(self) -> dict[str, Any]:
        return {
            "file": str(self._recorded.path),
            "digest": self._digest.hexdigest(),
            "recorded_digest": self._recorded.digest,
            "num_equal": self.num_equal,
            "num_compared": self.num_compared,
            "first_differing": self.first_differing,
            "recorded_clock": "manual" if self._recorded.is_manual else "real",
        }

    def lines(self) -> Sequence[str]:
        digest = self._digest.hexdigest()
        if not self._recorded.is_manual:
            return [
                f"Replay: digest {digest}. It was recorded on the real clock: compare it with another replay."
            ]
        counts = f"{self.num_equal:,} of {self.num_compared:,} reports equal the recorded ones"
        differing = (
            "" if self.first_differing is None else f"; the first that differs: {self.first_differing}"
        )
        return [f"Replay: {counts}{differing}. Digest: {digest}"]

    def _read(self) -> Iterator[tuple[int, str]]:
        for _, _, record in self._file.messages(topics=[TICK_TOPIC]):
            plain = json.loads(record.data)
            yield int(plain["tick"]), str(plain["digest"])


def _document(config: SageConfig, path: Path) -> YamlDocument:
    return YamlDocument(source=str(path), data=config.model_dump(mode="json"))


def _config_of(text: str, path: Path) -> SageConfig:
    try:
        data = load_plain(text)
        if not isinstance(data, dict):
            raise DataError("not a mapping")
        return build_config(YamlDocument(source=str(path), data=data))
    except (yaml.YAMLError, DataError) as error:
        raise UserError(f"{path}: its configuration cannot be read ({error}): record it again") from error


def _replayed(entry: DeviceEntry, recorded: RecordedRun) -> DeviceEntry | None:
    """None for an optional sensor that the recorded run did not have."""
    if entry.kind in _OWN_KINDS:
        return entry
    if entry.name in recorded.sources:
        return _source(entry.name, entry, recorded)
    return None if entry.optional else entry


def _source(name: str, entry: DeviceEntry, recorded: RecordedRun) -> DeviceEntry:
    supervised = {key: getattr(entry.config, key) for key in _SUPERVISED}
    return DeviceEntry(config=RecordedConfig(name=name, path=recorded.path, **supervised))


def _world_sensors(world: DeviceEntry, base: SageConfig, recorded: RecordedRun) -> list[DeviceEntry]:
    """Replays of the sources of an environment, in the recorded order. A sensor of the configuration, an
    estimate of a group, which the replay makes again, and a source of an environment whose name begins with
    this one's are none of them, whatever their names.
    """
    prefix = f"{world.name}."
    others = {entry.name for entry in base.sensors} | {group.name for group in base.measurements}
    inner = tuple(f"{each.name}." for each in base.enabled_environments if each.name.startswith(prefix))
    return [
        _source(name, world, recorded)
        for name in recorded.sources
        if name.startswith(prefix) and name not in others and not name.startswith(inner)
    ]


def _effectors(
    base: SageConfig, worlds: Sequence[DeviceEntry], recorded: RecordedRun
) -> Iterator[DeviceEntry]:
    """In the recorded order, which is that of the model's actions."""
    settings = {entry.name: entry.config for entry in base.enabled_effectors}
    for world in worlds:
        settings |= {f"{world.name}.{part}": limits for part, limits in world.config.effectors.items()}
    prefixes = tuple(f"{world.name}." for world in worlds)
    for spec in recorded.effectors:
        if spec.name not in settings and not spec.name.startswith(prefixes):
            continue
        given = settings.get(spec.name)
        limits = {} if given is None else {key: getattr(given, key) for key in _LIMITS}
        yield DeviceEntry(
            config=StandInConfig(
                name=spec.name,
                effect=spec.effect,
                target=spec.target,
                timeout_secs=spec.timeout_secs,
                spec=plain_spec(spec),
                **limits,
            )
        )
