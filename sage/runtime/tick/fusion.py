"""Fusion: chosen readings become observations, compared with their own past and with the other sources.

Gates weigh the model's corrections by their past gain. Invariant: a reading is scored before it is learned
from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sage.runtime.channels.layout import Layout
from sage.runtime.channels.maps import Vector
from sage.runtime.config import TrustConfig
from sage.runtime.prediction.far import MAX_VALUE, FarReadings
from sage.runtime.prediction.gate import OnlineGate
from sage.runtime.prediction.predictor import CLIP, Predictor, Raw, ScoredListener, Scores
from sage.runtime.prediction.substitute import Substitutes
from sage.runtime.tick.reasoner import Percept
from sage.runtime.tick.senses import Gathered
from sage.runtime.trust.contract import Evidence
from sage.runtime.trust.cross import CrossPredictor
from sage.runtime.trust.own_record import OwnRecord
from sage.runtime.trust.ties import Ties
from sage.sensors.driver.batch import ReadingBatch

FIRST_FREEZE_TICK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """One tick's observations.

    met: (N,) bool, attended, fresh and within MAX_VALUE.  percept: for the model.  estimate: (C,) each
    channel from the other sources.  is_judged: (N,) bool, the estimate is defined.  is_new_scale: the
    standardisation changed, so that no window spans this tick.  own_doubt: (N,) as in Evidence.
    readings: (C,) as percept.values, of the readings themselves, also where they are replaced.  is_frozen:
    (N,) bool, the reading is replaced and not learned from.
    """

    met: np.ndarray
    scores: Scores
    percept: Percept
    estimate: np.ndarray
    is_judged: np.ndarray
    is_new_scale: bool
    own_doubt: np.ndarray
    readings: np.ndarray
    is_frozen: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The sources in one tick; all (N,).

    age_ns: of the newest reading, -1 before the first.  usable: bool.  trust: before this tick.  chosen:
    bool, full attention.  weight: trust x recency x quality, normalised; the sum is 1 or 0.  skips: codes of
    `scheduling.skips`, why each was not chosen.
    """

    age_ns: np.ndarray
    usable: np.ndarray
    trust: np.ndarray
    chosen: np.ndarray
    weight: np.ndarray
    skips: np.ndarray


class Fusion:
    """Owns the predictor and the leave-one-out Gaussian, in one standardisation, and the sources' records."""

    def __init__(
        self, layout: Layout, on_scored: ScoredListener | None = None, trust: TrustConfig | None = None
    ) -> None:
        self.layout = layout
        self.predictor = Predictor(layout, on_scored)
        self.cross = CrossPredictor(layout.offsets, layout.is_witness)
        self.own_record = OwnRecord(layout.offsets, layout.is_witness, *layout.ranges)
        self.ties = Ties(layout.offsets)
        trust = trust or TrustConfig()
        is_replacing = trust.enabled and trust.replaces
        self.substitutes = Substitutes(layout.offsets, layout.is_replaceable & is_replacing)
        self._far = FarReadings(layout)
        self._is_far = np.zeros(layout.num_sources, dtype=bool)
        self.level_gate = OnlineGate(layout.num_channels)
        self._values = np.zeros(layout.num_channels)
        self._offsets: list[int] = layout.offsets.tolist()
        # Of a batch: channels whose values are the readings, their places in it, and sources that are mapped.
        self._channels: np.ndarray | None = None
        self._places = np.zeros(0, dtype=np.intp)
        self._mapped: tuple[int, ...] = ()
        self.num_invalid = np.zeros(layout.num_sources, dtype=np.int64)

    def fuse(
        self, tick: int, gathered: Gathered, scene: Scene, noise: np.ndarray, is_asleep: bool = False
    ) -> Fused:
        """Observe, score and compare. noise: (N,) each source's normal mean squared innovation.  is_asleep: a
        night is in progress, whose processes take memory and processor time.
        """
        if is_asleep:
            self.substitutes.expect_jumps()
        met = self._observe(gathered, scene.chosen)
        if self.substitutes.is_active:
            self.substitutes.end(~scene.usable)
        scores, learned = self._meet(met, gathered.captured_ns)
        is_new_scale = self._refreeze(tick)
        z, deltas, skip = self.predictor.standardised()
        present = scene.usable & (self.predictor.num_readings > 0)
        others = self.cross.judge(z, scene.trust, present, noise)
        own_doubt = self.own_record.update(met, self._values)
        std, mean = self.predictor.frozen_std, self.predictor.frozen_mean
        estimate, readings = others.estimate * std + mean, z
        is_frozen = self.substitutes.is_frozen
        if np.count_nonzero(met):
            self.ties.update(learned & others.is_defined, z * std + mean, estimate, scene.trust)
            self.cross.update(z, scene.trust, present & ~is_frozen)
        self.substitutes.compare(met, estimate, others.is_defined)
        if np.count_nonzero(self._is_far) or self.substitutes.is_active:
            readings = self._readings(z)
        if self.substitutes.is_active:
            own_doubt = np.fmax(own_doubt, self.substitutes.doubt)
            self.predictor.hold(is_frozen[self.layout.source_of_channel], self.substitutes.believed)
        percept = Percept(
            values=z,
            deltas=deltas,
            skip=skip,
            cross=others.estimate,
            present=present,
            fresh=learned,
            age_secs=np.maximum(scene.age_ns, 0) * 1e-9,
            weight=scene.weight / max(float(np.maximum.reduce(scene.weight)), 1e-12),  # 1: the most trusted
        )
        return Fused(
            met=met,
            scores=scores,
            percept=percept,
            estimate=others.estimate,
            is_judged=others.is_defined,
            is_new_scale=is_new_scale,
            own_doubt=own_doubt,
            readings=readings,
            is_frozen=is_frozen,
        )

    def audit(self, fused: Fused, audited: int, level: np.ndarray) -> np.ndarray:
        """(C,) the estimate of every channel from the other sources, with the model's gated correction
        `level` for the audited source.

        The gate learns from the audited source's reading where it is new.
        """
        own = slice(self._offsets[audited], self._offsets[audited + 1])
        estimate, proposal = fused.estimate.copy(), level[own]
        estimate[own] += self.level_gate.weigh(proposal, own) * proposal
        if fused.percept.fresh[audited] and fused.is_judged[audited]:
            self.level_gate.update(own, fused.percept.values[own] - fused.estimate[own], proposal)
        return estimate

    def evidence(self, fused: Fused, estimate: np.ndarray) -> Evidence:
        """This tick's evidence for or against each source."""
        z, dims = fused.readings, self.layout.dims
        square = self.layout.per_source((z - estimate) ** 2) / dims
        return Evidence(
            fresh=fused.met,
            innovation_sq=np.where(fused.met & fused.is_judged, square, np.nan),
            level_sq=self.layout.per_source(z**2) / dims,
            self_error_sq=fused.scores.error,
            is_repeat=fused.scores.is_repeat & self.layout.is_witness,
            own_doubt=fused.own_doubt,
            is_tied=self.ties.is_tied,
        )

    def _meet(self, met: np.ndarray, captured_ns: np.ndarray) -> tuple[Scores, np.ndarray]:
        """Score the readings and learn from those believed, or from what replaces them. Returns also (N,)
        bool, the sources learned from.
        """
        predictor, moments = self.predictor, self.predictor.scale.arrays[:3]
        self._is_far = self._far.find(met, self._values, moments)
        near = met & ~self._is_far
        believed = self.substitutes.read(near, self._values, captured_ns, predictor.prediction, moments)
        if not self.substitutes.is_active:
            predictor.release()
        learned = near & ~self.substitutes.is_frozen
        return predictor.meet(learned, believed, captured_ns, self._raw(met)), learned

    def _raw(self, met: np.ndarray) -> Raw | None:
        """The readings of a tick in which some are far, or replaced; None in others."""
        raw = self.substitutes.raw(met, self._values, self.predictor.last)
        if not np.count_nonzero(self._is_far):
            return raw
        far, values, last = self._is_far, self._values, self.predictor.last
        if raw is None:
            return Raw(fresh=met, is_replaced=far, is_repeat=np.zeros_like(far), values=values, before=last)
        return replace(raw, is_replaced=raw.is_replaced | far, is_repeat=raw.is_repeat & ~far)

    def _readings(self, z: np.ndarray) -> np.ndarray:
        """(C,) z with the readings themselves where they are replaced, or far."""
        is_replaced = ((self.substitutes.kind != 0) | self._is_far)[self.layout.source_of_channel]
        own = (self._values - self.predictor.frozen_mean) / self.predictor.frozen_std
        return np.where(is_replaced, np.clip(own, -CLIP, CLIP), z)

    def _observe(self, gathered: Gathered, chosen: np.ndarray) -> np.ndarray:
        met: np.ndarray = gathered.fresh & chosen
        if gathered.batch is not None:
            if self._channels is None:
                self._place(gathered.batch, gathered.batched)
            self._values[self._channels] = gathered.batch.newest[self._places]
        for source in (*gathered.leases, *self._mapped):
            array = gathered.array(source) if met[source] else None
            if array is not None:
                own = slice(self._offsets[source], self._offsets[source + 1])
                self._values[own] = self.layout.maps[source](array)
        is_finite = np.abs(self._values) <= MAX_VALUE
        if np.count_nonzero(is_finite) < len(is_finite):
            is_invalid = self.layout.per_source(~is_finite) > 0
            self.num_invalid += is_invalid
            self._values[~is_finite] = 0.0  # the source is not met, so the value is not used
            met &= ~is_invalid
        return met

    def _place(self, batch: ReadingBatch, batched: Sequence[int]) -> None:
        """Find the channels of vectors in the batch; its other sources are mapped one by one."""
        vectors = [source for source in batched if isinstance(self.layout.maps[source], Vector)]
        self._channels = np.flatnonzero(np.isin(self.layout.source_of_channel, vectors))
        self._places = np.concatenate([np.r_[batch.place(source)] for source in vectors] or [[]]).astype(
            np.intp
        )
        self._mapped = tuple(source for source in batched if source not in set(vectors))

    def _refreeze(self, tick: int) -> bool:
        """Update the standardisation at ticks 16, 32, 64 and so on."""
        if tick < FIRST_FREEZE_TICK or tick & (tick - 1):
            return False
        before = self.predictor.frozen_std.copy()
        self.predictor.freeze_scale()
        self.cross.rescale(before / self.predictor.frozen_std)
        return True
