"""The stage "schedule" of a tick: scores every source by its record and chooses who gets full attention."""

from __future__ import annotations

import math

import numpy as np

from sage.runtime.channels.layout import Layout
from sage.runtime.config import RuntimeConfig
from sage.runtime.scheduling.attention import Attention
from sage.runtime.scheduling.pinning import Pinning
from sage.runtime.scheduling.value import Ages, ErrorGrowth, cost_of_waiting
from sage.runtime.tick.fusion import Scene
from sage.runtime.tick.senses import Gathered
from sage.runtime.tick.statuses import Statuses
from sage.runtime.trust.contract import TrustForm
from sage.runtime.trust.estimator import token_weights
from sage.sensors.environment import EVENT_QUANTITIES


class Scheduler:
    """Owns the attention of a run. Trust, salience and error of a tick take effect in the next one."""

    def __init__(self, layout: Layout, config: RuntimeConfig) -> None:
        num, tick = layout.num_sources, config.tick
        self._config = config.attention
        self._min_trust = config.posture.min_trust
        max_age_ns = np.maximum(config.attention.max_age_secs * 1e9, 4 * layout.period_ns)
        self._ages = Ages(layout.period_ns, max_age_ns)
        self.attention = Attention(
            num,
            config.attention,
            names=[spec.name for spec in layout.specs],
            min_rate_hz=min(
                tick.rate_hz,
                tick.rest_rate_hz,
                tick.dream_rate_hz,
                config.metabolism.focus_rate_hz or tick.rate_hz,
            ),
            seed=config.seed,
            sizes=[spec.tensor.num_bytes for spec in layout.specs],
            max_bytes=config.budget.bytes,
            always=np.array([spec.observes[0] in EVENT_QUANTITIES for spec in layout.specs]),
        )
        self._pinning = Pinning(
            num, window=config.attention.pin_window & ~1, threshold=config.attention.pin_change
        )
        policy = config.attention.policy
        #: None where the policy does not use it, or every source has a place.
        self._growth = (
            ErrorGrowth(num)
            if policy in ("deficit", "surprise") or (policy == "whittle" and num > config.attention.top_k)
            else None
        )
        self._interval = np.ones(num, dtype=np.int64)
        self._chosen = np.zeros(num, dtype=bool)
        #: Ticks between a source's readings.
        self._period = np.maximum(layout.period_ns * (tick.rate_hz * 1e-9), 1.0)
        self._confidence = math.nan

    def schedule(
        self, gathered: Gathered, now_ns: int, statuses: Statuses, trust: TrustForm, salience: np.ndarray
    ) -> Scene:
        """Choose for one tick. salience: (N,) of the tick before."""
        age_ns, usable, fresh_rate = self._ages.of(gathered.captured_ns, now_ns, statuses.is_running)
        figures = trust.trust
        score = gathered.quality * fresh_rate * (1 + salience)
        value = None
        if self._growth is None:
            score *= figures
        else:
            self._interval = self.attention.waited + 1
            if self._config.policy == "whittle":
                score *= cost_of_waiting(self._growth.rate, figures, self._interval, self._period)
            else:
                score, value = score * figures, self._growth.value
        chosen = self.attention.choose(
            score,
            gathered.fresh,
            pinned=self._pinned(trust),
            held=self._held(figures),
            value=value,
        )
        self._chosen = chosen
        return Scene(
            age_ns=age_ns,
            usable=usable,
            trust=figures,
            chosen=chosen,
            weight=token_weights(figures, fresh_rate, gathered.quality * gathered.confidence, usable),
            skips=self.attention.skips,
        )

    def note(self, error: np.ndarray, confidence: float) -> None:
        """After a tick. error: (N,) of its predictions, NaN without one.  confidence: of its posture."""
        if self._growth is not None:
            self._growth.note(error, self._interval, self._chosen)
        self._confidence = confidence

    def _pinned(self, trust: TrustForm) -> np.ndarray | None:
        if not self._pinning.is_enabled:
            return None
        return self._pinning.note(np.where(np.isfinite(trust.nis), trust.responsibility, np.nan))

    def _held(self, trust: np.ndarray) -> np.ndarray | None:
        if not self._confidence < self._config.min_confidence:
            return None
        return trust < self._min_trust
