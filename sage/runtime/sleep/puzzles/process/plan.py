"""What the trainer's process and a night of its folder start from: job.json.

Invariant: the file is data: tasks, models and settings are made again from their names and numbers, and
nothing in it is code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sage.durable import checked_json, read_json, write_file
from sage.errors import DataError, InputError
from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.tasks.address import TaskAddress, address_of
from sage.hrm_core.tasks.contract import Task
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer

JOB = "job.json"
SCHEMA = "solver_job/1"
#: Also of a job.json that an earlier version wrote without a checksum.
KEYS = ("schema", "stream", "names", "tasks", "configs", "config", "seed", "parent")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSetup:
    """stream: its name.  names, tasks, configs: of each level.  addresses: what makes the tasks again, None
    for one that nothing does; empty: found by `address_of`.
    """

    stream: str
    names: tuple[str, ...]
    tasks: tuple[Task, ...]
    configs: tuple[ModelConfig, ...]
    config: SolverTrainingConfig
    seed: int
    addresses: tuple[TaskAddress | None, ...] = ()

    def build(self) -> PuzzleTrainer:
        """InputError as PuzzleTrainer."""
        return PuzzleTrainer(self.stream, self.names, self.tasks, self.configs, self.config, seed=self.seed)

    def level_without_address(self) -> str | None:
        """Name of the first level whose task no other process can make, None without one."""
        found = (name for name, address in zip(self.names, self._addressed()) if address is None)
        return next(found, None)

    def to_plain(self) -> dict[str, Any]:
        """For JSON; a task that cannot be made again is null."""
        return {
            "stream": self.stream,
            "names": list(self.names),
            "tasks": [None if each is None else each.to_plain() for each in self._addressed()],
            "configs": [config.to_plain() for config in self.configs],
            "config": self.config.model_dump(mode="json"),
            "seed": self.seed,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> TrainerSetup:
        """InputError where a task cannot be made, DataError where a file of one is missing or changed;
        KeyError, TypeError or ValueError where a part is missing or wrong.
        """
        if None in plain["tasks"]:
            raise InputError("a level's task is not of the catalogue: it cannot be made again here")
        addresses = tuple(TaskAddress.from_plain(each) for each in plain["tasks"])
        return cls(
            stream=plain["stream"],
            names=tuple(plain["names"]),
            tasks=tuple(each.make() for each in addresses),
            configs=tuple(ModelConfig.from_plain(each) for each in plain["configs"]),
            config=SolverTrainingConfig.model_validate(plain["config"]),
            seed=plain["seed"],
            addresses=addresses,
        )

    def _addressed(self) -> tuple[TaskAddress | None, ...]:
        return self.addresses or tuple(address_of(task) for task in self.tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerLink:
    """What joins the process to its loop. experiences, offers, board: names of shared memory.  run: of the
    store.  epoch_ns: wall time of the run's start, unix ns.
    """

    experiences: str
    offers: str
    board: str
    run: int
    epoch_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerJob:
    """parent: identity of the loop's process.  link: None where the trainer is in that process."""

    setup: TrainerSetup
    parent: int
    link: TrainerLink | None = None


def write_job(folder: Path, job: TrainerJob) -> None:
    """Replace job.json of the folder, durably."""
    plain = {"schema": SCHEMA, **job.setup.to_plain(), "parent": job.parent}
    if job.link is not None:
        plain["link"] = asdict(job.link)
    write_file(folder / JOB, checked_json(plain))


def read_job(folder: Path) -> TrainerJob:
    """DataError for a file that is no job; InputError where a task cannot be made again."""
    with _damage_as_data_error(folder):
        plain = _read(folder)
        if not isinstance(plain["parent"], int):
            raise TypeError(f"parent is {plain['parent']!r}")
        link = None if plain.get("link") is None else TrainerLink(**plain["link"])
        return TrainerJob(setup=TrainerSetup.from_plain(plain), parent=plain["parent"], link=link)


def read_link(folder: Path) -> TrainerLink:
    """Of a job with one, without making its tasks. DataError otherwise."""
    with _damage_as_data_error(folder):
        return TrainerLink(**_read(folder)["link"])


def read_names(folder: Path) -> tuple[str, ...]:
    """Of the levels, without making their tasks. FileNotFoundError without a job, DataError for a damaged
    one.
    """
    with _damage_as_data_error(folder):
        return tuple(str(name) for name in _read(folder)["names"])


def _read(folder: Path) -> dict[str, Any]:
    plain: dict[str, Any] = read_json(folder / JOB, plain_keys=KEYS)
    if plain["schema"] != SCHEMA:
        raise DataError(f"{folder / JOB} has schema {plain['schema']!r}, this version reads {SCHEMA!r}")
    return plain


@contextmanager
def _damage_as_data_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    except DataError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / JOB} is damaged ({error}): run the night of another folder") from error
