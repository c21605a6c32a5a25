"""Measurements in the loop: groups of sources of one quantity, their trust, and their estimates.

Invariant: a group learns from each new reading once, whatever gets attention; a run without groups has none
of this, and its trust is that of the base form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sage.runtime.config import RuntimeConfig
from sage.runtime.trust.answers.joined import JoinedTrust
from sage.runtime.trust.commensurable.group import MeasurementGroup
from sage.runtime.trust.commensurable.plan import MeasurementPlan
from sage.runtime.trust.commensurable.rules import FusionRules
from sage.runtime.trust.contract import Judged, TrustForm
from sage.runtime.trust.even import in_use
from sage.sensors.driver.sensor_driver import SensorDriver
from sage.sensors.estimate import EstimateSlot
from sage.sensors.latest import LatestReadings

Emit = Callable[..., None]
#: Without an estimate for so many of the slowest source's periods, none of the sources is valid.
SILENT_PERIODS = 8
#: And for so many ticks of the slowest mode, where its sources are faster. A longer tick is a pause.
SILENT_TICKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedGroup:
    """A group that a run is built with. slot: where its estimates are put, for the source of its name."""

    plan: MeasurementPlan
    slot: EstimateSlot


class Measurements:
    """drivers: of all sources, in order; that of a group's estimate among them.  latest: has the new readings
    of a tick.  emit: creates an event.  groups: in the order of the configuration.
    """

    def __init__(
        self,
        planned: Sequence[PlannedGroup],
        drivers: Sequence[SensorDriver],
        latest: LatestReadings,
        config: RuntimeConfig,
        emit: Emit,
    ) -> None:
        index = {driver.spec.name: number for number, driver in enumerate(drivers)}
        rules = FusionRules(
            prior_inlier=config.trust.prior_inlier,
            prior_outlier=config.trust.prior_outlier,
            prior_scale=config.trust.prior_scale,
            forgetting=config.trust.forgetting,
            outlier_ratio=config.trust.outlier_ratio,
            anchor_limit=math.sqrt(config.trust.outlier_ratio),
        )
        slowest_hz = min(config.tick.rate_hz, config.tick.rest_rate_hz, config.tick.dream_rate_hz)
        self._groups = [_Group(each, index, drivers, rules, round(1e9 / slowest_hz)) for each in planned]
        self.groups = [each.form for each in self._groups]
        #: (N,) degrees of freedom of each source's surprise: in a group the numbers of a reading. That of the
        #: base form is chi-squared with one, whatever the size of a reading.
        self.freedom = np.ones(len(drivers), dtype=np.int64)
        for group in self._groups:
            self.freedom[group.indices] = [len(member.channels) for member in group.form.plan.members]
        self._config = config.trust
        self._latest = latest
        self._emit = emit
        for each in planned:
            for member in each.plan.members:
                latest.watch(member.name, each.plan.spec.name)

    def in_use(self, base: TrustForm) -> TrustForm:
        """`base` with the trust of the groups in the place of their sources and estimates; an EvenTrust of it
        where trust is switched off.
        """
        parts: dict[str, tuple[np.ndarray, Judged]] = {
            each.name: (np.append(each.indices, each.own), each.form) for each in self._groups
        }
        return in_use(JoinedTrust(base, parts, prefix="measurements") if parts else base, self._config)

    def meet(self, fresh: np.ndarray, now_ns: int) -> None:
        """Fuse this tick's new readings. fresh: (N,) bool, sources with one.  now_ns: on the run's clock."""
        for group in self._groups:
            if fresh[group.indices].any():
                self._meet(group, fresh, now_ns)
            else:
                group.form.verdict[:] = np.nan
            group.note_silence(now_ns, self._emit)

    def _meet(self, group: _Group, fresh: np.ndarray, now_ns: int) -> None:
        readings, captured_ns = np.full(group.shape, np.nan), np.zeros(group.shape[0], dtype=np.int64)
        for row, source in enumerate(group.indices.tolist()):
            newest = self._latest.of(group.form.names[row])[-1:] if fresh[source] else ()
            for reading in newest:
                values = reading.values.reshape(-1)
                readings[row, : len(values)] = values
                captured_ns[row] = reading.captured_ns
        num_jumps = group.form.num_jumps
        estimate = group.form.meet(readings, captured_ns, group.claims(), now_ns)
        for name in group.form.unclaimed:
            if name not in group.left_out:
                group.left_out.add(name)
                self._emit("measurements", "left out: its readings claim no noise: give it noise_std", name)
        if group.form.num_jumps > num_jumps:
            self._emit("measurements", "its sources reject the estimate together: it has moved", group.name)
        if estimate is not None:
            group.slot.put(estimate)
            group.estimated_ns = now_ns


class _Group:
    """form: judges and fuses.  indices: of its sources.  own: index of its estimate.  shape: (N, M).
    left_out: sources without a known noise, once an event has named them.
    """

    def __init__(
        self,
        planned: PlannedGroup,
        index: dict[str, int],
        drivers: Sequence[SensorDriver],
        rules: FusionRules,
        tick_ns: int,
    ) -> None:
        plan = planned.plan
        self.name = plan.spec.name
        self.slot = planned.slot
        self.form = MeasurementGroup(plan, rules)
        self.indices = np.array([index[name] for name in self.form.names])
        self.own = index[self.name]
        self.shape = (len(plan.members), max(len(member.channels) for member in plan.members))
        self._claiming = [
            None if member.noise_std is not None else drivers[index[member.name]] for member in plan.members
        ]
        slowest_ns = max(drivers[each].spec.period_ns for each in self.indices.tolist())
        self._silent_ns = max(SILENT_PERIODS * slowest_ns, SILENT_TICKS * tick_ns)
        self.estimated_ns: int | None = None
        self._is_silent = False
        self._ticked_ns = 0
        self.left_out: set[str] = set()

    def claims(self) -> np.ndarray:
        """(N,) standard deviation that each newest reading claims, NaN where the configuration states it."""
        return np.array(
            [np.nan if driver is None else driver.statistics().noise_std for driver in self._claiming]
        )

    def note_silence(self, now_ns: int, emit: Emit) -> None:
        """An event when there is no estimate any more, and when there is one again. A pause of the loop is no
        part of a silence.
        """
        since_ns, self._ticked_ns = now_ns - self._ticked_ns, now_ns
        if self.estimated_ns is None:
            return
        if since_ns > self._silent_ns and self.estimated_ns < now_ns:
            self.estimated_ns += since_ns
        is_silent = now_ns - self.estimated_ns > self._silent_ns
        if is_silent != self._is_silent:
            self._is_silent = is_silent
            emit("measurements", "no source is valid" if is_silent else "a source is valid again", self.name)
