"""What the trainer's process and a night of its folder start from: job.json.

Invariant: the file is data: tasks, models and settings are made again from their names and numbers, and
nothing in it is code.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sage.durable import checked_json, read_json, write_file
from sage.errors import DataError, InputError
from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Task
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer

JOB = "job.json"
SCHEMA = "solver_job/1"
#: Also of a job.json that an earlier version wrote without a checksum.
KEYS = ("schema", "stream", "names", "tasks", "configs", "config", "seed", "parent")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCall:
    """The call of the catalogue that makes a task: its name and its options, as JSON has them."""

    name: str
    options: Mapping[str, Any]

    @classmethod
    def of(cls, task: Task) -> TaskCall | None:
        """The call that makes a task of this kind with this config; None where there is none."""
        config = getattr(task, "config", None)
        if not dataclasses.is_dataclass(config) or isinstance(config, type):
            return None
        call = cls(name=task.spec.name, options=asdict(config))
        try:
            again = make_task(call.name, **json.loads(json.dumps(call.options)))
        except (InputError, TypeError, ValueError):
            return None
        return call if again.spec == task.spec and type(again) is type(task) else None

    def make(self) -> Task:
        """InputError as make_task."""
        return make_task(self.name, **self.options)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSetup:
    """stream: its name.  names, tasks, configs: of each level.  calls: what makes the tasks again; empty:
    found by `TaskCall.of`.
    """

    stream: str
    names: tuple[str, ...]
    tasks: tuple[Task, ...]
    configs: tuple[ModelConfig, ...]
    config: SolverTrainingConfig
    seed: int
    calls: tuple[TaskCall | None, ...] = ()

    def build(self) -> PuzzleTrainer:
        """InputError as PuzzleTrainer."""
        return PuzzleTrainer(self.stream, self.names, self.tasks, self.configs, self.config, seed=self.seed)

    def check_calls(self) -> None:
        """InputError where a task cannot be made again by another process."""
        for name, call in zip(self.names, self._task_calls()):
            reason = "it is not of the catalogue" if call is None else ""
            try:
                json.dumps(None if call is None else call.options)
            except (TypeError, ValueError) as error:
                reason = f"its options are no JSON: {error}"
            if reason:
                raise InputError(
                    f"stream {self.stream}, {name}: its task cannot be made by another process ({reason}):"
                    " set solver_training.where to inline"
                )

    def to_plain(self) -> dict[str, Any]:
        """For JSON; a task that cannot be made again is null."""
        calls = [
            None if call is None else {"name": call.name, "options": dict(call.options)}
            for call in self._task_calls()
        ]
        return {
            "stream": self.stream,
            "names": list(self.names),
            "tasks": calls,
            "configs": [config.to_plain() for config in self.configs],
            "config": self.config.model_dump(mode="json"),
            "seed": self.seed,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> TrainerSetup:
        """InputError where a task cannot be made; KeyError, TypeError or ValueError where a part is missing
        or wrong.
        """
        if None in plain["tasks"]:
            raise InputError("a level's task is not of the catalogue: it cannot be made again here")
        calls = tuple(TaskCall(name=each["name"], options=each["options"]) for each in plain["tasks"])
        return cls(
            stream=plain["stream"],
            names=tuple(plain["names"]),
            tasks=tuple(call.make() for call in calls),
            configs=tuple(ModelConfig.from_plain(each) for each in plain["configs"]),
            config=SolverTrainingConfig.model_validate(plain["config"]),
            seed=plain["seed"],
            calls=calls,
        )

    def _task_calls(self) -> tuple[TaskCall | None, ...]:
        return self.calls or tuple(TaskCall.of(task) for task in self.tasks)


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
        link = None if plain.get("link") is None else TrainerLink(**plain["link"])
        return TrainerJob(setup=TrainerSetup.from_plain(plain), parent=plain["parent"], link=link)


def read_link(folder: Path) -> TrainerLink:
    """Of a job with one, without making its tasks. DataError otherwise."""
    with _damage_as_data_error(folder):
        return TrainerLink(**_read(folder)["link"])


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
