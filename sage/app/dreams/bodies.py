"""The dreams of a run: its loop on a manual clock with copies of its environments, in the night's process.

A dream begins with what the loop has learned (a snapshot in the night's folder) and the night's weights, so
that readings are scaled as the model saw them. Invariants: the copies share nothing with the environments
that the loop acts in; no file outside the night's folder is written; a dream's policy rules are the run's.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sage.app.config.entry import DeviceEntry
from sage.app.config.sage_config import SageConfig, build_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.dreams.episodes import EpisodeRecord
from sage.app.terminal.errors import UserError
from sage.durable import checked_json, read_json, write_file
from sage.errors import DataError
from sage.hrm_core.observation.model import ObservationModel
from sage.mailbox.clock import ManualClock
from sage.runtime.loop import Loop
from sage.runtime.report import Instrument
from sage.runtime.sleep.dreaming import Dreamt, Episodes
from sage.runtime.snapshot import capture_snapshot, load_newest, snapshot_key, write_snapshot
from sage.sensors.environment import Perturbable

#: In the folder of a night.
PLAN_NAME, MIND_NAME, SCRATCH_NAME = "dream.json", "dream-mind", "dream-scratch"
#: Ticks of one call of the loop.
_CHUNK_TICKS = 32
#: Ticks that an examination may take, per episode; longer ones are cut off.
_MAX_TICKS_AN_EPISODE = 2000
#: Added to the seed of a night, for episodes that no dream had.
_EXAM_SEED = 700_001


class BuiltRun(Protocol):
    """What is needed of a run."""

    @property
    def loop(self) -> Loop: ...

    def open(self) -> None: ...

    def close(self) -> None: ...


#: `build_run`.
Build = Callable[..., BuiltRun]


class BodyDreamer:
    """Of one run. `bind` comes before everything else. num_steps: of practice, at most."""

    def __init__(self, config: SageConfig, base_dir: Path, build: Build) -> None:
        self._config = config
        self._base_dir = base_dir
        self._build = build
        self.num_steps = config.dreams.ticks * config.budget.practice_steps // config.practice.every_ticks
        self._loop: Loop | None = None

    def bind(self, loop: Loop) -> None:
        """The loop whose nights have these dreams. UserError where copies of its environments do not have
        its sources.
        """
        self._loop = loop
        asked = f"dreams.ticks is {self._config.dreams.ticks}"
        if not any(isinstance(entry.config, Perturbable) for entry in self._config.enabled_environments):
            raise UserError(f"{asked}: the run has no environment that offers perturbed copies: give 0")
        try:
            copies = self._build(
                dream_config(self._config, 0.0, 0),
                ManualClock(),
                directory=Path("dream"),
                base_dir=self._base_dir,
            )
        except UserError as error:
            raise UserError(f"{asked}: {error}, or give 0") from None
        is_same = snapshot_key(copies.loop) == snapshot_key(loop)
        copies.close()
        if not is_same:
            raise UserError(
                f"{asked}: the sources and effectors of the run are not those of its perturbed environments:"
                " give 0"
            )

    def prepare(self, directory: Path, seed: int) -> None:
        assert self._loop is not None
        directory.mkdir(parents=True, exist_ok=True)
        snapshot = capture_snapshot(self._loop)
        # the moments are of practice on the real body
        arrays = {name: each for name, each in snapshot.arrays.items() if not name.startswith("practice.")}
        write_snapshot(directory / MIND_NAME, dataclasses.replace(snapshot, arrays=arrays, solving={}))
        config = self._config.model_dump(mode="json")
        plan = {"config": config, "base_dir": str(self._base_dir), "seed": seed}
        write_file(directory / PLAN_NAME, checked_json(plan))

    def open(self, directory: Path) -> BodyDream:
        dream = open_dream(directory, self._build)
        assert dream is not None
        return dream


class BodyDream:
    """One night's. seed: of its episodes."""

    def __init__(self, config: SageConfig, base_dir: Path, directory: Path, seed: int, build: Build) -> None:
        self._config = config
        self._base_dir = base_dir
        self._directory = directory
        self._seed = seed
        self._build = build

    def examine(self, model: ObservationModel) -> Episodes:
        num = self._config.dreams.num_examined
        record = EpisodeRecord()
        seed = (self._seed + _EXAM_SEED) % 2**31
        with self._opened(model, 0.0, seed, [record]) as loop:
            loop.actor.explores = False
            loop.between_ticks.practice.is_enabled = False
            while len(record.returns) < num and loop.tick_count < num * _MAX_TICKS_AN_EPISODE:
                if loop.run(num_ticks=_CHUNK_TICKS) != "ticks":
                    break
        if len(record.returns) < num:
            raise DataError(
                f"{len(record.returns)} of {num} episodes ended within {loop.tick_count:,} ticks: give a"
                " smaller dreams.num_examined, or the environment shorter episodes"
            )
        return Episodes(returns=np.array(record.returns[:num]), successes=np.array(record.successes[:num]))

    def practise(self, model: ObservationModel) -> Dreamt:
        dreams, record = self._config.dreams, EpisodeRecord()
        started = time.process_time()
        with self._opened(model, dreams.perturbation, self._seed % 2**31, [record]) as loop:
            while loop.tick_count < dreams.ticks and time.process_time() - started < dreams.max_cpu_secs:
                if loop.run(num_ticks=min(_CHUNK_TICKS, dreams.ticks - loop.tick_count)) != "ticks":
                    break
            model.load_state_dict(loop.reasoner.model.state_dict())
        return Dreamt(
            num_ticks=loop.tick_count,
            num_episodes=len(record.returns),
            num_steps=loop.between_ticks.practice.num_steps,
            num_failed=record.num_faults,
            cpu_secs=time.process_time() - started,
        )

    @contextmanager
    def _opened(
        self, model: ObservationModel, amount: float, seed: int, instruments: Sequence[Instrument]
    ) -> Iterator[Loop]:
        """A loop with what the run has learned and the weights of `model`, in copies of its environments."""
        run = self._build(
            dream_config(self._config, amount, seed),
            ManualClock(),
            directory=self._directory / SCRATCH_NAME,
            instruments=instruments,
            base_dir=self._base_dir,
        )
        try:
            loaded = load_newest(self._directory / MIND_NAME, run.loop)
            if loaded.about is None:
                raise DataError(f"{self._directory / MIND_NAME}: {loaded.message}")
            run.loop.reasoner.adopt(model)
            run.open()
            yield run.loop
        finally:
            run.close()


def open_dream(directory: Path, build: Build) -> BodyDream | None:
    """The dream of the night in `directory`, None for a night without one. DataError for a plan that cannot
    be read.
    """
    path = directory / PLAN_NAME
    if not path.is_file():
        return None
    plan: dict[str, Any] = read_json(path, plain_keys=())
    try:
        config = build_config(YamlDocument(data=plan["config"], source=str(path)))
        return BodyDream(config, Path(plan["base_dir"]), directory, int(plan["seed"]), build)
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise DataError(f"{path}: {error}: run another night") from error


def dream_config(config: SageConfig, amount: float, seed: int) -> SageConfig:
    """The run's configuration without what a dream has not: other environments than perturbed copies, nights,
    the ledger of energy, rest and coherence figures. Practice has its learning rate times dreams.weight.
    """
    practice = config.practice
    rate = practice.learning_rate * config.dreams.weight
    without = {name: getattr(config, name).model_copy(update={"enabled": False}) for name in _OFF}
    return config.model_copy(
        update={
            **without,
            "seed": seed,
            "effectors": (),
            "environments": tuple(
                _perturbed(entry, amount, seed)
                for entry in config.enabled_environments
                if isinstance(entry.config, Perturbable)
            ),
            "coherence": config.coherence.model_copy(update={"window_ticks": 0}),
            "metabolism": config.metabolism.model_copy(update={"rests": False}),
            "practice": practice.model_copy(update={"learning_rate": rate}),
            "dreams": config.dreams.model_copy(update={"ticks": 0}),
        }
    )


_OFF = ("sleep", "energy")


def _perturbed(entry: DeviceEntry, amount: float, seed: int) -> DeviceEntry:
    assert isinstance(entry.config, Perturbable)
    settings = entry.config.perturbed(amount, seed)
    return entry.model_copy(update={"config": settings})
