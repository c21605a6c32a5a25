"""Sleep in a process of its own, on a copy of model and memory, while the loop continues.

Invariant: the live weights are not changed here; `collect` returns a candidate only if it was accepted.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sage.errors import DataError, SageError
from sage.exit_status import how_it_ended
from sage.hrm_core.observation.model import ObservationModel
from sage.mailbox.shared.memory.identity import my_identity
from sage.runtime.config import SleepConfig
from sage.runtime.report import SleepOutcome, SleepReport
from sage.runtime.sleep.consolidate import (
    CANDIDATE,
    REPORT,
    Night,
    SleepPlan,
    read_report,
    sleep_on,
    write_job,
)
from sage.runtime.sleep.dreaming import Dreamer
from sage.runtime.tick.reasoner import load_observation_model

ERROR_TAIL_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedNight:
    """The result of a night. candidate: the new weights, None unless accepted."""

    report: SleepReport
    candidate: ObservationModel | None


class Sleeper:
    """Decides when a night is due, starts it and collects it. One night at a time.

    num_nights: begun or skipped, over all sessions where a snapshot keeps it; each has a seed of its own.
    """

    def __init__(
        self, config: SleepConfig, directory: Path, now_ns: int, dreamer: Dreamer | None = None
    ) -> None:
        """dreamer: of nights that begin with dreams."""
        self._config = config
        self._dreamer = dreamer
        self._home = self._directory = directory
        self._next_ns = now_ns + int(config.first_after_secs * 1e9)
        self._deadline_ns = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._done: EndedNight | None = None
        self._tick = 0
        self._is_asked = False
        self.num_nights = 0

    @property
    def is_sleeping(self) -> bool:
        return self._process is not None or self._done is not None

    def is_due(self, now_ns: int) -> bool:
        is_time = self._config.enabled and now_ns >= self._next_ns
        return not self.is_sleeping and (is_time or self._is_asked)

    def ask(self) -> None:
        """The next night is due now, also where sleep is not enabled."""
        self._is_asked = True

    def reconfigure(self, config: SleepConfig, now_ns: int) -> None:
        """Other settings from the next night on; it is due within the new interval at the latest."""
        self._config = config
        self._next_ns = min(self._next_ns, now_ns + int(config.every_secs * 1e9))

    def begin(self, night: Night, plan: SleepPlan, now_ns: int) -> None:
        """Start the night's process, or run the night now when `where` is "inline"."""
        self._schedule_next(plan, now_ns)
        if self._config.where == "inline":
            self._done = self._slept(night, plan)
            return
        self._deadline_ns = now_ns + int(self._config.timeout_secs * 1e9)
        try:
            self._spawn(night, plan)
        except (OSError, DataError) as error:  # no space, no process, weights that are not finite
            self._done = self._failed(f"could not start: {error}")

    def skip(self, plan: SleepPlan, reason: str, now_ns: int) -> EndedNight:
        """Record a night that does not take place; the next is due sooner than after a night."""
        self._schedule_next(plan, now_ns)
        self._next_ns = now_ns + int(min(self._config.first_after_secs, self._config.every_secs) * 1e9)
        report = SleepReport(
            outcome=SleepOutcome.SKIPPED,
            reason=reason,
            tick=plan.tick,
            num_replayed=0,
            num_examined=0,
            num_steps=0,
        )
        return EndedNight(report=report, candidate=None)

    def collect(self, now_ns: int) -> EndedNight | None:
        """The ended night, once; None during a night or without one."""
        if self._process is not None:
            status = self._process.poll()
            if status is None and now_ns < self._deadline_ns:
                return None
            self._done = self._finish(status)
        done, self._done = self._done, None
        return done

    def leave(self, night: Night, plan: SleepPlan) -> None:
        """Write the job of a night that another process may run once this one has ended; what is here is
        deleted, and a night in progress killed. OSError or DataError where it cannot be written.
        """
        self.abort()
        self.num_nights += 1
        self._write(night, plan)

    def abort(self) -> None:
        """Kill a night in progress; the live weights are unchanged."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def cancel(self, reason: str) -> EndedNight:
        """Kill the night in progress, or drop its result; the report has the reason."""
        self.abort()
        self._done = None
        return self._failed(reason)

    def _schedule_next(self, plan: SleepPlan, now_ns: int) -> None:
        self.num_nights += 1
        self._is_asked = False
        self._tick = plan.tick
        self._next_ns = now_ns + int(self._config.every_secs * 1e9)

    def _slept(self, night: Night, plan: SleepPlan) -> EndedNight:
        """The night, now. One whose dream fails is a failed night, as in a process of its own."""
        night = dataclasses.replace(night, model=copy.deepcopy(night.model))
        if self._dreamer is None:
            report = sleep_on(night, plan)
        else:
            shutil.rmtree(self._home, ignore_errors=True)
            try:
                self._dreamer.prepare(self._home, plan.seed)
                report = sleep_on(night, plan, dream=self._dreamer.open(self._home))
            except (OSError, SageError) as error:
                return self._failed(f"its dream failed: {error}")
        accepted = report.outcome is SleepOutcome.ACCEPTED
        return EndedNight(report=report, candidate=night.model if accepted else None)

    def _write(self, night: Night, plan: SleepPlan) -> None:
        """The night's job, in the only folder here."""
        shutil.rmtree(self._home, ignore_errors=True)
        # A directory of its own: the sleep process of a killed run cannot write to this night.
        self._directory = self._home / f"{os.getpid()}-{self.num_nights}"
        if self._dreamer is not None:
            self._dreamer.prepare(self._directory, plan.seed)
        write_job(self._directory, night, plan)

    def _spawn(self, night: Night, plan: SleepPlan) -> None:
        self._write(night, plan)
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        with (self._directory / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P" if sys.version_info >= (3, 11) else "-I",
                    "-m",
                    "sage",
                    "sleep",
                    str(self._directory),
                    f"--parent={my_identity()}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    def _finish(self, status: int | None) -> EndedNight:
        if status is None:
            self.abort()
            # The report is written last: with it the candidate is complete, and the night ends as any other.
            if not (self._directory / REPORT).is_file():
                return self._failed(f"not done within {self._config.timeout_secs:g} s")
            status = 0
        self._process = None
        try:
            if status != 0:
                tail = (self._directory / "log.txt").read_text(errors="replace")[-ERROR_TAIL_CHARS:].strip()
                return self._failed(f"the process {how_it_ended(status)}: {tail}")
            report = read_report(self._directory / REPORT)
            accepted = report.outcome is SleepOutcome.ACCEPTED
            candidate = self._taken_candidate() if accepted else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            return self._failed(f"its result cannot be read: {error}")
        return EndedNight(report=report, candidate=candidate)

    def _taken_candidate(self) -> ObservationModel:
        """It is deleted: the next run takes one that it finds."""
        path = self._directory / CANDIDATE
        candidate = load_observation_model(path)
        path.unlink()
        return candidate

    def _failed(self, reason: str) -> EndedNight:
        report = SleepReport(
            outcome=SleepOutcome.FAILED,
            reason=reason,
            tick=self._tick,
            num_replayed=0,
            num_examined=0,
            num_steps=0,
        )
        return EndedNight(report=report, candidate=None)
