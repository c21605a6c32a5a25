"""One row of the batch: what the model reads, for how many segments, and what it ended with.

Invariant: a row is computed from its own inputs, carry and noise alone.
Shapes: L cells, V symbols.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solutions import confidence_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The last output of a row. log_probs (L, V) float32.  conflict: the logit of the model's conflict head,
    keep (L, K) float32: the logits of its keep head; None without one.
    """

    log_probs: np.ndarray
    conflict: float | None = None
    keep: np.ndarray | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Row:
    """number: of the try, or of the node.  inputs (L,) int32.  noise_seed: None for a row without noise.
    start_seed: of a random start, None for H_init and L_init.
    candidates (L, K) bool: for a model with deduction heads; None: those of the inputs.
    is_try: its answer ends it by the rules of `halt`; otherwise it takes max_segments.
    reads_output: its last output is copied to the host.
    answer (L,) int32, None before the first, its q and its residual: the result of a try if it ends now.
    """

    number: int
    inputs: np.ndarray
    settings: SolveSettings
    max_segments: int
    is_try: bool
    reads_output: bool
    noise_seed: int | None = None
    start_seed: int | None = None
    candidates: np.ndarray | None = None
    num_segments: int = 0
    answer: np.ndarray | None = None
    q: float = -math.inf
    residual: float = math.inf
    reading: Reading | None = None

    @property
    def is_at_limit(self) -> bool:
        return self.num_segments >= self.max_segments

    @property
    def merit(self) -> float:
        """What unverified answers are ranked by: q, or minus the residual."""
        if self.settings.pick == "q":
            return self.q
        return -math.inf if math.isnan(self.residual) else -self.residual

    @property
    def halts_by_rules(self) -> bool:
        return self.is_try and self.settings.halt == "verifier"

    def is_sure(self, q: float, wants_halt: bool) -> bool:
        """Whether the Q head ends the try here."""
        settings = self.settings
        return (
            self.is_try
            and settings.halt == "q"
            and wants_halt
            and bool(confidence_of(q) >= settings.min_confidence)
        )

    def is_asked(self, q: float, is_sure: bool) -> bool:
        """Whether this segment's answer is needed; with halt 'q': the final one, or one of higher q than
        before.
        """
        if not self.is_try:
            return False
        if self.settings.halt == "q":
            return is_sure or self.answer is None or q > self.q or math.isnan(self.q)
        return self.halts_by_rules or self.is_at_limit
