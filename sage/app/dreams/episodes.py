"""The episodes of a run's environments, as an instrument."""

from __future__ import annotations

from sage.runtime.report import Event, SleepReport, TickReport


class EpisodeRecord:
    """Episodes that ended. returns, successes: one of each; a success is 1 or 0, NaN where the environment
    does not state it.  num_faults: events of that kind.
    """

    def __init__(self) -> None:
        self.returns: list[float] = []
        self.successes: list[float] = []
        self.num_faults = 0
        self._num_seen: dict[str, int] = {}

    def on_tick(self, report: TickReport) -> None:
        self.num_faults += sum(event.kind == "fault" for event in report.facts.events)
        for facts in report.facts.acting:
            if facts.num_episodes > self._num_seen.get(facts.world, 0):
                self._num_seen[facts.world] = facts.num_episodes
                self.returns.append(facts.last_return)
                self.successes.append(facts.last_success)

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...
