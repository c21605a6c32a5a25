"""A loop with one puzzle stream on a manual clock, and a learner that records and offers what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from sage.hrm_core.tasks.catalogue import make_task
from sage.mailbox.clock import ManualClock
from sage.mailbox.hub import Hub
from sage.runtime.config import MemoryConfig, PolicyConfig, PolicyRule, RuntimeConfig, SolvingConfig
from sage.runtime.inputs import LoopInputs
from sage.runtime.loop import Loop
from sage.runtime.report import Event, SleepReport, TickReport
from sage.runtime.snapshot import load_snapshot
from sage.runtime.solving.learner import LearnerFacts, Offer, PuzzleExperience
from sage.runtime.solving.models import family_for
from sage.runtime.solving.stream import PuzzleStream, StreamLevel
from sage.runtime.tick.memory_writer import recall_store
from sage.sensors.budgeted_work import WorkBoard
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Sensor, SensorContext
from sage.sensors.devices.synthetic import SyntheticConfig, SyntheticSensor
from sage.sensors.driver.sensor_driver import SensorDriver
from sage.sensors.environments.puzzles.config import PuzzlesConfig
from sage.sensors.environments.puzzles.puzzles_environment import PuzzlesEnvironment

ALLOWED = PolicyRule(
    decision="allow", effect="cognitive", target="puzzle", states=("wake", "focus", "rest", "dream")
)


class FakeLearner:
    """Records experiences; `offers` are collected one by one."""

    def __init__(self) -> None:
        self.opened: dict[str, torch.Tensor] = {}
        self.experiences: list[PuzzleExperience] = []
        self.offers: list[Offer] = []
        self.nights: list[int] = []
        self.closed: dict[str, torch.Tensor] = {}
        self.is_closed = False
        self.is_sleeping = False
        self.is_paused = False
        self.problem = ""

    def open(self, weights: Mapping[str, torch.Tensor]) -> None:
        self.opened = {name: tensor.clone() for name, tensor in weights.items()}

    def note(self, experiences: Sequence[PuzzleExperience]) -> None:
        self.experiences += experiences

    def work(self, deadline_ns: int) -> None: ...

    def collect(self) -> Offer | None:
        offer = self.offers.pop(0) if self.offers else None
        if offer is not None and offer.report is not None:
            self.is_sleeping = False
        return offer

    def begin_night(self, tick: int) -> None:
        self.nights.append(tick)
        self.is_sleeping = True

    def abort_night(self) -> None:
        self.is_sleeping = False

    def pause(self, is_paused: bool) -> None:
        self.is_paused = is_paused

    def facts(self) -> LearnerFacts:
        return LearnerFacts(
            num_experiences=len(self.experiences), is_sleeping=self.is_sleeping, problem=self.problem
        )

    def close(self, weights: Mapping[str, torch.Tensor] | None = None) -> None:
        self.is_closed = True
        self.closed = dict(weights or {})


@dataclass
class Recorder:
    """Every report of a run."""

    ticks: list[TickReport] = field(default_factory=list)
    sleeps: list[SleepReport] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def on_tick(self, report: TickReport) -> None:
        self.ticks.append(report)

    def on_sleep(self, report: SleepReport) -> None:
        self.sleeps.append(report)

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    @property
    def solving(self):
        return [report.facts.solving[0] for report in self.ticks]

    @property
    def answers(self):
        return [answer for facts in self.solving for answer in facts.answers]


@dataclass(kw_only=True)
class Life:
    """One loop and what it is made of."""

    loop: Loop
    learner: FakeLearner
    recorder: Recorder
    world: PuzzlesEnvironment
    board: WorkBoard

    @property
    def solver(self):
        return self.loop.solving.solvers[0]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., Life]]:
    """Builds and opens a loop with a stream `riddles` of 4x4 sudokus; closes it after the test."""
    loops: list[Loop] = []

    def build(
        solving: SolvingConfig | None = None,
        *,
        rules: tuple[PolicyRule, ...] = (ALLOWED,),
        levels: Sequence[Mapping[str, object]] = ({"size": 4},),
        sections: Mapping[str, object] | None = None,
        resumes_from: Path | None = None,
        checks_labels: bool = True,
        **puzzles: object,
    ) -> Life:
        clock = ManualClock()
        learner, recorder = FakeLearner(), Recorder()
        section = solving or SolvingConfig(weights="sudoku4")
        config = RuntimeConfig.model_validate(
            {
                "solving": section.model_dump(),
                "policy": PolicyConfig(rules=rules).model_dump(),
                "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1},
                "budget": {"segments": 1},
                "sleep": {"enabled": False},
                "practice": {"enabled": False},
                **(sections or {}),
            }
        )
        world = PuzzlesEnvironment(
            PuzzlesConfig(
                name="riddles",
                levels=[{"task": "sudoku", "options": dict(options)} for options in levels],
                **puzzles,
            ),
            SensorContext(clock=clock, epoch_ns=0),
        )
        hub = Hub(clock)
        records, messages = hub.peripheral("records", capacity=256), hub.peripheral("riddles", capacity=256)

        def driver(make: Callable[[], Sensor], number: int, ring) -> SensorDriver:
            spec = make().spec
            slots = hub.focus(spec.name, slots=8, slot_bytes=spec.tensor.num_bytes)
            return SensorDriver(
                make,
                config=SensorConfig(kind="test", name=spec.name),
                peripheral=ring,
                focus=slots,
                clock=clock,
                producer=number,
            )

        def synthetic() -> Sensor:
            return SyntheticSensor(
                SyntheticConfig(name="s", shape=(2,), rate_hz=20), SensorContext(clock=clock, epoch_ns=0)
            )

        sensors = [driver(lambda s=s: s, n, messages) for n, s in enumerate(world.sensors())]
        tasks = [make_task("sudoku", **options) for options in levels]
        stream = PuzzleStream(
            name="riddles",
            levels=[
                StreamLevel(name=f"{task.spec.grid[0]}x{task.spec.grid[1]}", task=task) for task in tasks
            ],
            puzzle=sensors[0],
            result=sensors[1],
            reward=sensors[2],
            level=sensors[3],
            answer=world.effectors()[0],
            family=family_for([task.spec for task in tasks], section),
            learner=learner,
            world=world,
            checks_labels=checks_labels,
        )
        inputs = LoopInputs(
            clock=clock,
            drivers=[driver(synthetic, 0, records)],
            records=records,
            recall=recall_store(MemoryConfig(num_recall=64)),
            directory=tmp_path,
            device=torch.device("cpu"),
            instruments=[recorder],
            streams=[stream],
            work=WorkBoard(),
        )
        loop = Loop(config, inputs)
        loops.append(loop)
        if resumes_from is not None:
            load_snapshot(resumes_from, loop)
        world.open()
        loop.open()
        return Life(loop=loop, learner=learner, recorder=recorder, world=world, board=inputs.work)

    yield build
    for loop in loops:
        loop.close()
