"""Sources of one quantity in the loop: a robust filter with a clock, that judges them and has an estimate.

All new readings of a tick are fused at once, at the time of the newest. An older reading measures the state
at its own time, and has the noise of the motion since then besides its own. Invariants: the time of the
estimate never goes back; without a reading that is more probably right than wrong there is no estimate.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sage.errors import InputError
from sage.runtime.measurements_config import LEAST, MAX_RATIO, MOST
from sage.runtime.trust.by_context import log_odds_between, moved_beta, moved_scale
from sage.runtime.trust.commensurable.plan import DEFAULT_JUMP, MeasurementPlan
from sage.runtime.trust.commensurable.repeats import Repeats
from sage.runtime.trust.commensurable.robust_filter import RobustFilter
from sage.runtime.trust.commensurable.rules import FusionRules, Sources
from sage.sensors.estimate import Estimate

#: Of a reading, before the newest one; an older reading is not used.
MAX_LAG_SECS = 5.0
MIN_ACCEPTED = 0.5
MAX_LOG_ODDS = 300.0
#: No quantity is measured beyond it; the squares of larger numbers overflow.
MAX_READING = 1e30


class MeasurementGroup:
    """A Judged form of N + 1 sources: those of `plan`, and their estimate as the last one.

    Its trust is the mean of its sources' trust, by their share in it.
    """

    def __init__(
        self, plan: MeasurementPlan, rules: FusionRules | None = None, *, is_compiled: bool | None = None
    ) -> None:
        self.plan = plan
        self.names = tuple(member.name for member in plan.members)
        num = len(self.names)
        self._rules = FusionRules() if rules is None else rules
        self._is_compiled = is_compiled
        self._stated = np.array(
            [np.nan if each.noise_std is None else each.noise_std for each in plan.members]
        )
        # In units of the claims where these are of the readings.
        is_stated = np.isfinite(self._stated)
        usual = float(np.median(self._stated[is_stated])) if is_stated.any() else 1.0
        self._base = np.where(is_stated, self._stated, usual)
        self._is_claimed = bool(np.isnan(self._stated).any())
        self._matrix = plan.matrix()
        self._dims = np.array([len(member.channels) for member in plan.members])
        size = self._matrix.shape[1]
        self._sources = Sources(
            self._matrix,
            self._base[:, None, None] ** 2 * np.eye(size),
            dims=self._dims.tolist(),
            lineage=[member.lineage for member in plan.members],
        )
        self._is_value = np.array([not member.is_rate for member in plan.members])
        self._repeats = Repeats(num, size)
        self._filter: RobustFilter | None = None
        self._kept: dict[str, np.ndarray] = {}
        self._time_ns = 0
        self._has_read = np.zeros(num, dtype=bool)
        self._noise = np.full(num, np.nan)
        self._start = np.full(plan.num_values, np.nan)
        self.trust = np.full(num + 1, self._prior_trust())
        self.nis = np.full(num + 1, np.nan)
        self.responsibility = np.ones(num + 1)
        self.verdict = np.full(num + 1, np.nan)  # of the last call of `meet`
        #: Sources with a reading in it that is not used: no noise is known of them.
        self.unclaimed: tuple[str, ...] = ()

    @property
    def is_stuck(self) -> np.ndarray:
        return np.append(self._repeats.is_stuck, False)

    @property
    def share(self) -> np.ndarray:
        """(N + 1,) as in TrustForm; 1 for the estimate, whose trust is that of its sources."""
        fusion, rules = self._filter, self._rules
        if fusion is None:
            prior = rules.prior_inlier / (rules.prior_inlier + rules.prior_outlier)
            return np.append(np.full(len(self.names), prior), 1.0)
        alpha, beta = fusion.learned()["evidence"][:2]
        return np.append(alpha / (alpha + beta), 1.0)

    def change_context(self, before: np.ndarray, after: np.ndarray, left: np.ndarray) -> None:
        """As in TrustForm; the estimate follows its sources. Nothing before the first reading."""
        fusion, rules = self._filter, self._rules
        if fusion is None:
            return
        learned, moved = fusion.learned(), log_odds_between(before[:-1], after[:-1])
        alpha, beta, scale_a, scale_b = learned["evidence"]
        weight = rules.prior_inlier + rules.prior_outlier
        inliers = moved_beta(alpha, beta, moved, weight, left[:-1])
        scales = moved_scale(scale_a, scale_b, moved, rules.prior_scale)
        fusion.load_learned(learned | {"evidence": np.stack([*inliers, *scales])})
        self.trust[:-1] = fusion.trust

    @property
    def num_jumps(self) -> int:
        """Times that the sources rejected the estimate together."""
        return 0 if self._filter is None else self._filter.num_jumps

    @property
    def fusion(self) -> RobustFilter | None:
        """None before the first reading."""
        return self._filter

    def meet(
        self, readings: np.ndarray, captured_ns: np.ndarray, claimed_std: np.ndarray, now_ns: int
    ) -> Estimate | None:
        """Learn from one tick's new readings; the estimate from them, None where none of them is valid.

        readings: (N, M), a row of NaN where a source has none, and beyond a source's own numbers.
        captured_ns: (N,) on the run's clock.  claimed_std: (N,) of the readings, NaN where they claim none.
        InputError before the first estimate for a reading without a noise above 0, where the configuration
        has none either; later its source is in `unclaimed`.
        """
        self.verdict[:] = np.nan
        is_number = np.isfinite(readings) | ~self._sources.is_row.T
        present = np.logical_and.reduce(is_number, axis=1) & np.isfinite(readings).any(axis=1)
        if not present.any():
            return None
        present &= self._note_claims(claimed_std, present)
        at_ns = np.where(present, np.minimum(captured_ns, now_ns), 0)
        newest_ns = max(int(at_ns.max()), self._time_ns)
        lag = np.where(present, (newest_ns - at_ns) * 1e-9, 0.0)
        present &= lag <= MAX_LAG_SECS
        self._forget_state((newest_ns - self._time_ns) * 1e-9)
        self._repeats.update(np.where(np.isnan(readings), 0.0, readings), present)
        is_wrong = present & (self._repeats.is_stuck | (np.abs(readings) > MAX_READING).any(axis=1))
        used = present & ~is_wrong
        fusion = self._filter or self._begin(readings, used)
        if fusion is None:
            return None
        if self._has_read.any():
            fusion.predict(*self.plan.transition((newest_ns - self._time_ns) * 1e-9))
        self._time_ns = newest_ns
        if is_wrong.any():
            fusion.reject(is_wrong)
        scale = fusion.scale
        self._update(fusion, np.where(used[:, None], readings, np.nan), lag)
        self._has_read |= present
        self.verdict[:-1] = np.where(present, self._verdict(fusion.nis * scale), np.nan)
        self.verdict[:-1][is_wrong] = 0.0
        return self._judge(fusion, used)

    def state(self) -> dict[str, np.ndarray]:
        """Copies of what a snapshot contains: of each source the evidence. The estimate itself is of a time
        that is over after a restart.
        """
        learned = self._kept if self._filter is None else self._filter.learned()
        learned = learned | self._repeats.learned()
        return {
            f"{name}.{key}": np.asarray(array)[..., index].copy()
            for index, name in enumerate(self.names)
            for key, array in learned.items()
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned, source by source; one that the state does not have keeps its own."""
        fusion = self._filter or self._new_filter(np.zeros(self.plan.num_states), 1.0)
        learned = fusion.learned() | self._repeats.learned()
        for key, array in learned.items():
            for index, name in enumerate(self.names):
                column = state.get(f"{name}.{key}")
                if column is not None and np.shape(column) == array[..., index].shape:
                    array[..., index] = column
        fusion.load_learned(learned)
        self._repeats.load_learned(learned)
        self.trust[:-1] = fusion.trust
        self._kept = fusion.learned()

    def _prior_trust(self) -> float:
        """Of a source without evidence. A first update compiles now, not in the first tick."""
        fusion = self._new_filter(np.zeros(self.plan.num_states), float(self._base.max()))
        prior = float(fusion.trust[0])
        fusion.update(np.where(self._sources.is_row.T, 0.0, np.nan))
        return prior

    def _new_filter(self, state: np.ndarray, jump_std: float) -> RobustFilter:
        spread = jump_std**2 * np.eye(self.plan.num_states)
        return RobustFilter(state, spread, self._sources, self._rules, is_compiled=self._is_compiled)

    def _begin(self, readings: np.ndarray, used: np.ndarray) -> RobustFilter | None:
        """Start at the medians of the first readings; None before there is one of every value."""
        values = used & self._is_value
        for channel in range(self.plan.num_values):
            found = [
                readings[index, member.channels.index(channel)]
                for index, member in enumerate(self.plan.members)
                if values[index] and channel in member.channels
            ]
            self._start[channel] = np.median(found) if found else self._start[channel]
        if np.isnan(self._start).any():
            return None
        state = np.zeros(self.plan.num_states)
        state[: self.plan.num_values] = self._start
        self._filter = self._new_filter(state, self._jump_std())
        if self._kept:
            self._filter.load_learned(self._kept)
        return self._filter

    def _note_claims(self, claimed_std: np.ndarray, present: np.ndarray) -> np.ndarray:
        """The noise of each source: stated in the configuration, else that of its newest claim, where this is
        comparable with the others' noise. (N,) bool, sources whose noise is known.
        """
        given = np.where(np.isfinite(self._stated), self._stated, claimed_std)
        is_given = present & (given >= LEAST) & (given <= MOST)
        known = np.concatenate([given[is_given], self._noise[np.isfinite(self._noise)]])
        if len(known):
            usual = float(np.median(known))
            is_given &= (given >= usual / MAX_RATIO) & (given <= usual * MAX_RATIO)
        self._noise = np.where(is_given, given, self._noise)
        is_known: np.ndarray = np.isfinite(self._noise)
        unknown = present & ~is_known
        self.unclaimed = tuple(self.names[index] for index in np.flatnonzero(unknown).tolist())
        if self.unclaimed and self._filter is None:
            where = f"measurements.{self.plan.spec.name}.sources.{self.unclaimed[0]}"
            raise InputError(
                f"{where}: its readings claim no noise: give it noise_std, in the reading's unit"
            )
        return is_known

    def _jump_std(self) -> float:
        """How far the value may be from where it is expected."""
        largest = float(np.nanmax(np.where(self._is_value, self._noise, np.nan)))
        return self.plan.jump_std or DEFAULT_JUMP * largest

    def _forget_state(self, secs: float) -> None:
        """Where the motion of so long a time says less about the state than its sources do at a start: begin
        it anew, with the evidence on each source.
        """
        if self._filter is None or not self._has_read.any():
            return
        _, added = self.plan.transition(secs)
        if added[0, 0] > self._jump_std() ** 2:
            self._kept, self._filter = self._filter.learned(), None
            self._has_read[:] = False
            self._start[:] = np.nan

    def _update(self, fusion: RobustFilter, readings: np.ndarray, lag: np.ndarray) -> None:
        late = lag > 0
        if not (late.any() or self._is_claimed):
            fusion.update(readings)
            return
        noise = np.where(np.isnan(self._noise), self._base, self._noise)
        ratio = np.sqrt(noise**2 + self.plan.lag_variance(lag)) / self._base
        if not late.any():
            fusion.update(readings, noise_ratio=ratio)
            return
        matrix = self._matrix
        if self.plan.motion == "constant_velocity":
            size, matrix = self.plan.num_values, matrix.copy()
            matrix[:, :, size:] -= lag[:, None, None] * matrix[:, :, :size]
        fusion.update(readings, lambda state: (matrix.dot(state), matrix), noise_ratio=ratio)

    def _verdict(self, square: np.ndarray) -> np.ndarray:
        """(N,) probability of an inlier by the prior and the noise of a healthy source, for readings whose
        difference from the others' has this square (N,) in units of that noise.
        """
        rules = self._rules
        log_odds = 0.5 * square * (1 - 1 / rules.outlier_ratio) - 0.5 * self._dims * np.log(
            rules.outlier_ratio
        )
        verdict: np.ndarray = 1 / (
            1 + rules.prior_outlier / rules.prior_inlier * np.exp(np.minimum(log_odds, MAX_LOG_ODDS))
        )
        return verdict

    def _judge(self, fusion: RobustFilter, used: np.ndarray) -> Estimate | None:
        rho = fusion.responsibility
        self.responsibility[:-1] = np.where(self._has_read, rho, 1.0)
        self.nis[:-1] = np.where(self._has_read, fusion.nis / self._dims, np.nan)
        self.trust[:-1] = fusion.trust
        accepted = used & (rho >= MIN_ACCEPTED)
        if not accepted.any():
            return None
        share = np.where(accepted, rho / fusion.scale / self._noise**2, 0.0)
        is_of_value = accepted & self._is_value
        if is_of_value.any():
            share = np.where(is_of_value, share, 0.0)
        self.trust[-1] = float(share.dot(self.trust[:-1]) / share.sum())
        size = self.plan.num_values
        deviation = float(np.sqrt(np.mean(np.diagonal(fusion.cov)[:size])))
        best = float(np.nanmin(np.where(self._is_value, self._noise, np.nan)))
        return Estimate(
            values=fusion.state[:size].copy(),
            noise_std=deviation,
            confidence=min(1.0, best / deviation),
            captured_ns=self._time_ns,
        )
