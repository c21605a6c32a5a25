"""A night of the solving model, a slice at a time: examination, dreams, search, replay, examination, verdict.

Invariant: the weights that it starts from are not changed, whenever it ends; equal memories, settings and
seeds give equal candidates on one machine. An examined puzzle is never replayed.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from sage.hrm_core.model_family import ModelFamily
from sage.hrm_core.optim.ranks import SINGLE, Ranks
from sage.hrm_core.tasks.contract import Examples, Task
from sage.hrm_core.tasks.orbits import orbit_keys
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.report import SleepOutcome, SleepReport
from sage.runtime.sleep.judge import Verdict
from sage.runtime.sleep.puzzles.dreams import generated, opened, rolled_out
from sage.runtime.sleep.puzzles.examination import (
    Answers,
    ExaminedLevel,
    answers_of,
    judge,
    vital_signs,
    why_collapsed,
)
from sage.runtime.sleep.puzzles.family_trainer import FamilyTrainer, is_finite, train_config
from sage.runtime.sleep.puzzles.held_out_draw import HeldOutDraw
from sage.runtime.sleep.puzzles.memory import PuzzleMemory
from sage.runtime.sleep.puzzles.night_search import Searched, search_unsolved
from sage.runtime.sleep.puzzles.pool import Pool, PoolTask, TaskRows

#: Of all draws; above it the diet is synthetic.
MAX_DREAMED_SHARE = 0.5
#: Of the labels that are replayed; above it the night is not kept.
MAX_WRONG_LABELS = 0.05
#: Steps that the average of a night spans at least, unless ema_decay spans fewer. It spans a share of those
#: taken, because the mean of the weights of many steps generalises better than the last ones, also where the
#: rate falls to 0 (Izmailov et al. 2018).
NUM_AVERAGED = 10.0
#: Steps at the end of a night whose mean loss is compared with that of as many of the same levels at its
#: start, and the ratio above which the training diverged.
NUM_COMPARED, DIVERGED = 10, 2.0
MAX_BAD_STEPS = 5
#: Share of steps of a level where every examined puzzle is solved, against one where none is.
LEAST_NEED = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class NightResult:
    """weights: the candidate's where the report accepts it, else those from before the night.  searched: what
    the night's search found.
    """

    report: SleepReport
    weights: dict[str, Tensor]
    searched: tuple[Searched, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NightPlan:
    """stream: name of the puzzle stream.  slept_at: of the trainer."""

    stream: str
    names: tuple[str, ...]
    config: SolverTrainingConfig
    seed: int
    tick: int
    slept_at: int = -1


class PuzzleNight:
    """Call `advance` until it returns a result. on_step: called with the candidate after each training step.

    family: in the weights that the loop has; it is copied.  ranks: processes that train the candidate. Each
    of them examines all puzzles, and the first one's verdict counts. Two machines may answer a puzzle
    differently: what each step trains is decided by all of them together.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        family: ModelFamily,
        memory: PuzzleMemory,
        plan: NightPlan,
        *,
        on_step: Callable[[ModelFamily], None] = lambda candidate: None,
        clock: Callable[[], float] = time.process_time,
        ranks: Ranks = SINGLE,
    ) -> None:
        self._ranks = ranks
        self._tasks = tuple(tasks)
        self._device = next(family.parameters()).device
        self._before = family.copy(self._device)
        self._plan = plan
        self._config = plan.config
        self._on_step = on_step
        self._clock = clock
        self._rng = np.random.default_rng((plan.seed, 13))
        self._level_rng = np.random.default_rng((plan.seed, 17))  # equal on all ranks, whatever they draw
        config = plan.config
        draw = HeldOutDraw(
            # of a folder's night the memory alone says that it is another one
            seed=(plan.seed, memory.num_noted),
            first=config.num_asked,
            most=max(config.num_asked, config.max_asked),
        )
        self._examined = [
            ExaminedLevel.of(
                name,
                task,
                level.examined,
                plan.slept_at,
                draw=draw if config.num_asked and level.recent.count else None,
            )
            for name, task, level in zip(plan.names, tasks, memory.levels)
        ]
        self._pools = [Pool.of(level.replayed) for level in memory.levels]
        self._unsolved = [
            level.unsolved.cells[: level.unsolved.count].astype(np.int32) for level in memory.levels
        ]
        self._numbers = [
            level.unsolved.columns["number"][: level.unsolved.count].copy() for level in memory.levels
        ]
        self._searched: list[Searched] = []
        self._losses: list[tuple[int, float]] = []  # level and loss of each step
        self._num_steps = 0
        self._num_bad_steps = 0
        self._slices = self._run()

    def advance(self) -> NightResult | None:
        """One slice: a batch of examined puzzles, the dreams of a level, a part of the search, or a step."""
        return next(self._slices)

    def run(self) -> NightResult:
        """All slices."""
        return next(result for result in self._slices if result is not None)

    def _run(self) -> Generator[NightResult | None, None, None]:
        started_ns = time.perf_counter_ns()
        report = self._first_report()
        if report.reason:
            yield self._result(report)
            return
        before = yield from self._examine(self._before)
        candidate = self._before.copy(self._device)
        wrong = yield from self._prepare(candidate)
        if self._ranks.any(bool(wrong)):
            wrong = wrong or "another process of this night has nothing that it may train on"
        else:
            wrong = yield from self._train(candidate, before)
        verdict = yield from self._judge(candidate, before, wrong)
        values = {field.name: getattr(verdict, field.name) for field in dataclasses.fields(verdict)}
        report = dataclasses.replace(
            report,
            num_replayed=sum(map(len, self._pools)),
            num_examined=sum(map(len, self._examined)),
            num_steps=self._num_steps,
            wall_secs=(time.perf_counter_ns() - started_ns) * 1e-9,
            **values,
        )
        yield self._result(report, candidate)

    def _first_report(self) -> SleepReport:
        """Outcome SKIPPED, with the reason where there is too little for a night."""
        num_examined = sum(map(len, self._examined))
        num_replayed = sum(map(len, self._pools))
        reason = ""
        if num_examined < self._config.min_examined:
            reason = f"{num_examined} puzzles to examine, at least {self._config.min_examined} are required"
        elif not num_replayed and not (self._config.night_calls and any(map(len, self._unsolved))):
            reason = "no puzzle to replay"
        return SleepReport(
            outcome=SleepOutcome.SKIPPED,
            reason=reason,
            tick=self._plan.tick,
            num_replayed=num_replayed,
            num_examined=num_examined,
            num_steps=0,
            stream=self._plan.stream,
        )

    def _result(self, report: SleepReport, candidate: ModelFamily | None = None) -> NightResult:
        is_accepted = report.outcome is SleepOutcome.ACCEPTED and candidate is not None
        family = candidate if is_accepted and candidate is not None else self._before
        weights = {name: tensor.to("cpu", copy=True) for name, tensor in family.weights().items()}
        return NightResult(report=report, weights=weights, searched=tuple(self._searched))

    def _examine(self, family: ModelFamily) -> Generator[None, None, list[Answers]]:
        """Returns the answers of each level."""
        found: list[Answers] = []
        for index, level in enumerate(self._examined):
            found.append((yield from self._answer(family, index, level.examples)))
        return found

    def _answer(self, family: ModelFamily, index: int, examples: Examples) -> Generator[None, None, Answers]:
        for answers in answers_of(family[index], self._tasks[index], examples):
            if answers is not None:
                return answers
            yield None
        raise AssertionError("answers_of yields answers last")

    def _examine_more(
        self, candidate: ModelFamily, before: list[Answers], after: list[Answers]
    ) -> Generator[None, None, bool]:
        """Ask the rest of `max_asked` held-out puzzles of each level on which one of the two fails; the
        answers are added to those given. False where there were none.
        """
        has_more = False
        for index, level in enumerate(self._examined):
            num = self._config.max_asked - level.num_asked if level.num_asked else 0
            if num <= 0 or min(before[index].share, after[index].share) == 1.0:
                continue
            asked = level.more(num, self._made_keys(index))
            yield None
            before[index] += yield from self._answer(self._before, index, asked)
            after[index] += yield from self._answer(candidate, index, asked)
            self._examined[index] = level.and_asked(asked)
            has_more |= len(asked) > 0
        return has_more

    def _prepare(self, candidate: ModelFamily) -> Generator[None, None, str]:
        """Search, check labels, dream. Returns why the night must not be kept, "" if it may."""
        config, num_wrong, num_memories = self._config, 0, 0
        for index, task in enumerate(self._tasks):
            if config.night_calls and len(self._unsolved[index]):
                for searched in search_unsolved(
                    candidate[index],
                    task,
                    index,
                    self._unsolved[index],
                    self._numbers[index],
                    config,
                    apart=self._examined[index].keys,
                ):
                    if searched is None:
                        yield None
                    else:
                        self._searched.append(searched)
                        self._pools[index] = Pool.joined([self._pools[index], searched.pool()])
            pool = self._pools[index]
            if len(pool):
                num_memories += len(pool)
                num_wrong += int((~np.asarray(task.verify(pool.inputs, pool.labels), bool)).sum())
                self._pools[index] = Pool.joined([pool, *self._dreams(candidate, index)])
            yield None
        if not num_memories:
            return "nothing to replay: the search found no solution"
        if config.checks_labels and num_wrong > MAX_WRONG_LABELS * num_memories:
            return f"wrong labels: {num_wrong} of {num_memories} replayed solutions break the rules"
        share = max(pool.dreamed_share for pool in self._pools if len(pool))
        if share > MAX_DREAMED_SHARE:
            return (
                f"synthetic diet: {share:.0%} of the draws are dreams, at most {MAX_DREAMED_SHARE:.0%} may be"
            )
        return ""

    def _dreams(self, candidate: ModelFamily, index: int) -> list[Pool]:
        """Half of the generator's, half roll-outs of puzzles that are unsolved, or were opened further."""
        config, task, pool = self._config, self._tasks[index], self._pools[index]
        num = round(config.dream_share * len(pool) / 2)
        if not num:
            return []
        apart = self._examined[index].keys
        made = generated(task, num, config.dream_weight, self._rng, apart=apart)
        others = self._unsolved[index][:num]
        if len(others) < num:
            rows = self._rng.integers(0, len(pool), num - len(others))
            examples = PoolTask(pool, task, moves=False).sample(len(rows), self._rng)
            others = np.concatenate([others, opened(task, examples, self._rng)])
        return [made, rolled_out(candidate[index], task, others, config.dream_weight, apart=apart)]

    def _made_keys(self, index: int) -> np.ndarray:
        """Orbit keys of the dreams of a level and of the states of its search."""
        pool = self._pools[index]
        made = [pool.inputs[pool.is_dreamed]]
        made += [each.episodes.inputs for each in self._searched if each.level == index]
        inputs = np.concatenate(made)
        return orbit_keys(self._tasks[index], inputs) if len(inputs) else np.zeros(0, np.uint64)

    def _train(self, candidate: ModelFamily, before: list[Answers]) -> Generator[None, None, str]:
        """Returns why the training failed, "" if it did not."""
        config = self._config
        trainer = FamilyTrainer(
            candidate,
            [task.spec for task in self._tasks],
            train_config(config, is_night=True, seed=self._plan.seed),
            num_steps=config.night_steps,
            learns=config.night_learns,
            ranks=self._ranks,
        )
        tasks = [
            PoolTask(pool, task, moves=config.night_symmetries) if len(pool) else None
            for pool, task in zip(self._pools, self._tasks)
        ]
        levels = [index for index, task in enumerate(tasks) if not self._ranks.any(task is None)]
        if not levels:
            return "the processes of this night have no level in common to train on"
        sources = {index: TaskRows(self._with_episodes(index, tasks[index]), self._rng) for index in levels}
        needs = np.array([1.0 + LEAST_NEED - self._ranks.mean(before[index].share) for index in levels])
        shortest = min(NUM_AVERAGED, 1.0 / (1.0 - config.ema_decay))
        started = self._clock()
        for _ in range(config.night_steps):
            level = int(self._level_rng.choice(levels, p=needs / needs.sum()))
            if config.night_cpu_secs is not None:
                trainer.end_at(self._last_step(config.night_cpu_secs, self._spent(started)))
            trainer.average_over(max(shortest, config.ema_share * len(self._losses)))
            facts = trainer.step(level, sources[level])
            self._losses.append((level, facts.figures["lm_loss"]))
            self._on_step(candidate)
            yield None
            is_late = config.night_cpu_secs is not None and self._spent(started) > config.night_cpu_secs
            if is_late or trainer.num_bad_steps >= MAX_BAD_STEPS:
                break
        self._num_steps, self._num_bad_steps = trainer.num_steps, trainer.num_bad_steps
        weights = trainer.averaged_weights()
        if self._num_bad_steps >= MAX_BAD_STEPS or not is_finite(weights):
            return f"not finite: {self._num_bad_steps} steps had a loss or a gradient that is not a number"
        candidate.load_weights(weights)
        return why_diverged(self._losses)

    def _spent(self, started: float) -> float:
        """Seconds since then, the mean of all ranks: they end together."""
        return self._ranks.mean(self._clock() - started)

    def _last_step(self, limit_secs: float, spent_secs: float) -> int:
        """Steps of this night, by the mean time of those taken: its learning rate falls to 0 there."""
        taken = len(self._losses)
        if not taken or spent_secs <= 0.0:
            return self._config.night_steps
        return min(self._config.night_steps, max(taken + 1, round(taken * limit_secs / spent_secs)))

    def _with_episodes(self, index: int, task: PoolTask | None) -> Task:
        """The pool, or half of it and half states of the night's searches, where there are some."""
        assert task is not None
        searched = next((each for each in self._searched if each.level == index), None)
        return task if searched is None else searched.mixed_with(task)

    def _judge(
        self, candidate: ModelFamily, before: list[Answers], wrong: str
    ) -> Generator[None, None, Verdict]:
        """Returns the verdict; a night that failed is rolled back for that, whatever the examination says."""
        if wrong:
            return Verdict(outcome=SleepOutcome.ROLLED_BACK, reason=wrong)
        after = yield from self._examine(candidate)
        seed, num_looks = self._plan.seed, self._config.num_looks
        verdict = judge(self._examined, before, after, seed, num_looks=num_looks)
        is_undecided = verdict.outcome is SleepOutcome.UNDECIDED
        if is_undecided and (yield from self._examine_more(candidate, before, after)):
            verdict = judge(self._examined, before, after, seed, num_looks=num_looks)
        for level, one, other in zip(self._examined, before, after):
            reason = why_collapsed(vital_signs(level, one), vital_signs(level, other)) if len(level) else ""
            if reason:
                return dataclasses.replace(
                    verdict,
                    outcome=SleepOutcome.ROLLED_BACK,
                    reason=f"collapsed: {level.name}: {reason}",
                )
        return verdict


def why_diverged(losses: Sequence[tuple[int, float]]) -> str:
    """What the training loss of a night rose to, "" where it did not rise, by the level and the loss of each
    step. Levels have losses of their own: each is compared with itself. A step whose loss is not finite was
    not taken, and counts elsewhere.
    """
    finite = [(level, loss) for level, loss in losses if math.isfinite(loss)]
    if len(finite) < 2 * NUM_COMPARED:
        return ""
    starts: dict[int, list[float]] = {}
    for level, loss in finite[:-NUM_COMPARED]:
        starts.setdefault(level, []).append(loss)
    pairs = [
        (float(np.mean(starts[level][:NUM_COMPARED])), loss)
        for level, loss in finite[-NUM_COMPARED:]
        if level in starts
    ]
    if not pairs:
        return ""
    first, last = (float(np.mean(each)) for each in zip(*pairs))
    if last <= DIVERGED * first + 0.05:
        return ""
    return f"diverged: the training loss rose from {first:.3f} to {last:.3f}"
