"""Write memory: salience decides what is stored, memory copies it.

L-memory gets every tick. H-memory gets the window that ends shortly after a salient tick, and windows at
regular intervals for replay and examination. Recall finds entries by similarity. Invariant: keys are fixed
random projections of standardised readings, not learned, so that they stay valid after a sleep.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sage.errors import InputError
from sage.hrm_core.model.recurrence import Carry
from sage.memory.contexts import OnlineContexts
from sage.memory.learned_weights import LearnedWeights, learn_weights
from sage.memory.salience import Salience, SalienceScores
from sage.memory.stores.entities import EntityMemory
from sage.memory.stores.examination import Role
from sage.memory.stores.hmemory import Experience, HMemory
from sage.memory.stores.key_index import has_index_library
from sage.memory.stores.recall import Recalled, RecallStore
from sage.memory.stores.usefulness import UseJudge
from sage.memory.windows.transitions import Frame, TransitionRing
from sage.memory.windows.window import Window, WindowShape
from sage.runtime.channels.layout import Layout
from sage.runtime.config import MemoryConfig, RuntimeConfig
from sage.runtime.report import MemoryFacts
from sage.runtime.tick.facts import mean_of
from sage.runtime.tick.fusion import Fused
from sage.runtime.tick.reward_memory import Bound, RewardMemory, merged
from sage.runtime.tick.worlds import rewards_by_world
from sage.sensors.environment import CUT_OFF, ENDED

KEY_DIM, VALUE_DIM = 32, 16
LEAD_TICKS = 8  # recall returns the situation this many ticks after the similar one
CARRY_EVERY = 4
PROJECTION_SEED = 20260
MIN_ENTITIES, NUM_TEACHERS = 128, 32


def _entity_memory(num_contexts: int, num_sources: int) -> EntityMemory:
    """With room for all sources, which would displace each other otherwise."""
    return EntityMemory(num_contexts, num_entities=max(MIN_ENTITIES, num_sources + NUM_TEACHERS))


def _block_secs(config: RuntimeConfig) -> float:
    """Of a block of time: at least the time from the begin of a window to its offer, in the slowest ticks
    awake. A window that spans several blocks is never examined.
    """
    slowest_hz = min(config.tick.rate_hz, config.tick.rest_rate_hz)
    return max(config.sleep.block_secs, (config.practice.window_ticks + CARRY_EVERY - 1) / slowest_hz)


def recall_store(config: MemoryConfig) -> RecallStore:
    """The store that a memory sensor reads; it exists before the sensors. InputError where its index needs a
    library that is not installed.
    """
    may_index = config.index == "approximate"
    if may_index and not has_index_library():
        raise InputError(
            "memory.index is approximate: neither hnswlib nor usearch is installed: pip install usearch, or"
            " give exact"
        )
    return RecallStore(config.num_recall, KEY_DIM, VALUE_DIM, may_index=may_index)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """A salient tick, stored once LEAD_TICKS have passed. key: (KEY_DIM,)."""

    tick: int
    time_ns: int
    key: np.ndarray
    scores: np.ndarray
    context: int
    surprise: float
    salience: float
    trust: float


class MemoryWriter:
    """Owns L-memory, H-memory, and the salience that decides between them."""

    def __init__(
        self,
        layout: Layout,
        num_actions: int,
        carry_shape: tuple[int, int],
        config: RuntimeConfig,
        device: torch.device,
        recall: RecallStore,
    ) -> None:
        self._layout = layout
        self._is_enabled = config.memory.enabled
        self._length = config.practice.window_ticks
        rewards = tuple(rewards_by_world(layout.specs).values())
        shape = WindowShape(
            num_channels=layout.num_channels,
            num_sources=layout.num_sources,
            num_actions=num_actions,
            carry_shape=carry_shape,
            length=self._length,
            num_worlds=len(rewards),
        )
        self.memory = HMemory.build(
            shape,
            recall,
            num_experiences=config.memory.num_experiences,
            examined_fraction=config.sleep.examined_fraction,
            block_secs=_block_secs(config),
            seed=config.seed,
        )
        self.transitions = TransitionRing(
            config.memory.num_transitions,
            layout.num_channels,
            layout.num_sources,
            num_actions,
            carry_shape,
            CARRY_EVERY,
            device=device,
            is_held_out=self.memory.examination.schedule.is_examined if config.sleep.enabled else None,
            num_worlds=len(rewards),
        )
        self.contexts = OnlineContexts(config.memory.num_contexts, KEY_DIM)
        self._context = 0  # of this tick
        self.entities = _entity_memory(config.memory.num_contexts, layout.num_sources)
        self._names = [spec.name for spec in layout.specs]
        self._teachers: dict[str, tuple[int, int]] = {}
        self._appraisal = Salience(layout.num_sources, write_rate=config.memory.write_rate)
        self._use_judge = UseJudge(self.memory.recall_store.usefulness, LEAD_TICKS)
        self.salience = np.full(layout.num_sources, np.nan)
        #: (N,) of the tick: 1 - best match in memory, NaN for a source that was not met.
        self.novelty = np.full(layout.num_sources, np.nan)
        self.is_calm = False
        self.is_salient = False
        #: Mean square of the readings' changes in the tick, in training deviations; NaN without a reading.
        self.change = math.nan
        self._last_salient_tick = -LEAD_TICKS
        self._pending: deque[_Pending] = deque()
        self._key, self._value, num_physical = projections(layout)
        #: Of each world with a source that observes a reward, by its number.
        self.reward_memories = {
            number: RewardMemory(
                KEY_DIM, discount=config.acting.discount, reward_scale=config.acting.reward_scale
            )
            for number, sources in enumerate(rewards)
            if config.memory.enabled and sources
        }
        self._num_worlds = len(rewards)
        self._key_scale = 1.0 / max(np.sqrt(num_physical), 1.0)

    @property
    def context(self) -> int:
        """Of the last tick."""
        return self._context

    @property
    def learners(self) -> dict[str, RewardMemory | Salience | OnlineContexts | EntityMemory]:
        """The parts with learned state besides the stores, by name, for a snapshot."""
        found: dict[str, RewardMemory | Salience | OnlineContexts | EntityMemory] = {
            "salience": self._appraisal,
            "contexts": self.contexts,
            "entities": self.entities,
        }
        for number, memory in self.reward_memories.items():
            found["sidecar" if self._num_worlds == 1 else f"sidecar{number}"] = memory
        return found

    def learn_salience(self) -> LearnedWeights | None:
        """Call at a night: the weights of salience from which memories were of use; None where too few were
        judged.
        """
        learned = learn_weights(self.memory.recall_store.usefulness)
        if learned is not None:
            self._appraisal.teach(learned.weights)
        return learned

    def remember(
        self,
        *,
        tick: int,
        time_ns: int,
        fused: Fused,
        carry: Carry,
        action: np.ndarray,
        reward: np.ndarray,
        reset: np.ndarray,
        value: np.ndarray,
        surprise: np.ndarray,
        conflict: np.ndarray,
        verdict: np.ndarray,
        trust: np.ndarray,
    ) -> MemoryFacts:
        """Store one tick: always in L-memory, in H-memory when it is salient or at a regular interval.

        reward: (W,) of this tick, NaN without one.  value: (W,) of the model's value head.  reset: (W,) ENDED
        or CUT_OFF where a world has started again.  verdict: (N,) as in TrustForm.
        """
        percept = fused.percept
        key = self._key.dot(percept.values)
        self._context = self.contexts.assign(key)
        bound = self._bind(key, reward, value, reset)
        self.entities.judge(self._names, verdict, self._context)
        recalled = self.memory.recall(key, time_ns=time_ns)
        self.novelty = np.where(fused.met, _novelty(recalled), np.nan)
        arousal = np.sqrt(self._layout.per_source(percept.deltas**2) / self._layout.dims)
        self.change = mean_of(arousal[fused.met] ** 2)
        scores = self._appraisal.appraise(
            surprise=surprise,
            novelty=self.novelty,
            arousal=arousal,
            reward_error=bound.reward_error,
            conflict=conflict,
            valid=fused.met,
        )
        self.salience = scores.salience
        self.is_calm = scores.is_warm and not scores.is_open
        self.is_salient = scores.is_warm and scores.is_open
        self.transitions.append(
            Frame(
                **percept.by_name(),
                action=action,
                reward=reward,
                time_ns=time_ns,
                tick=tick,
                reset=reset,
            ),
            carry.z_H,
            carry.z_L,
        )
        now = self._value.dot(percept.values)
        self._use_judge.see(tick, now, recalled.slots, recalled.reads[:, :-1])
        is_kept = self._is_enabled and self._keep(tick, time_ns, key, now, scores, trust[fused.met])
        return self._facts(scores.gate, is_kept, bound)

    def _keep(
        self,
        tick: int,
        time_ns: int,
        key: np.ndarray,
        now: np.ndarray,
        scores: SalienceScores,
        trust: np.ndarray,
    ) -> bool:
        """Store in H-memory what this tick completes or is due; returns whether something was stored.

        trust: of the sources that were met.
        """
        is_kept = self._complete(tick, time_ns, now)
        if tick % self._length == 0:
            is_kept |= self._offer_regular(time_ns)
        if scores.is_open and tick - self._last_salient_tick >= LEAD_TICKS:
            self._await(tick, time_ns, key, scores, trust)
        return is_kept

    def _await(
        self, tick: int, time_ns: int, key: np.ndarray, scores: SalienceScores, trust: np.ndarray
    ) -> None:
        """Note a salient tick, which is stored once LEAD_TICKS have passed."""
        self._last_salient_tick = tick
        self._pending.append(
            _Pending(
                tick=tick,
                time_ns=time_ns,
                key=key,
                scores=scores.gate_scores,
                context=self._context,
                surprise=float(np.nanmax(scores.of("surprise"), initial=0.0)),
                salience=scores.gate,
                trust=mean_of(trust, of_none=0.0),
            )
        )

    def note_verdicts(self, verdicts: Sequence[tuple[str, float]]) -> None:
        """(name, how right it was, 0..1) of sources that answered, in this tick's context."""
        if verdicts:
            self.entities.judge(
                [name for name, _ in verdicts], np.array([right for _, right in verdicts]), self._context
            )

    def note_teacher(self, name: str, num_shown: int, num_refused: int) -> None:
        """A teacher's solutions so far, and how many of them the task's rules refused."""
        shown_before, refused_before = self._teachers.get(name, (0, 0))
        self._teachers[name] = (num_shown, num_refused)
        num_wrong = num_refused - refused_before
        for number in range(num_shown - shown_before):
            self.entities.judge([name], np.array([float(number >= num_wrong)]), self._context)

    def _bind(self, key: np.ndarray, reward: np.ndarray, value: np.ndarray, reset: np.ndarray) -> Bound:
        key = key * self._key_scale
        return merged(
            [
                memory.bind(
                    key,
                    float(reward[world]),
                    float(value[world]),
                    is_end=bool(reset[world] == ENDED),
                    is_cut=bool(reset[world] == CUT_OFF),
                )
                for world, memory in self.reward_memories.items()
            ]
        )

    def _complete(self, tick: int, time_ns: int, now: np.ndarray) -> bool:
        """Store the salient tick of LEAD_TICKS ago as an experience: its window, and the current value."""
        if not self._pending or tick - self._pending[0].tick < LEAD_TICKS:
            return False
        then = self._pending.popleft()
        window = self.transitions.latest(self._length)
        if window is not None and self._role(window, time_ns) != "replay":
            window = None  # examined or embargoed: recalled, never replayed
        remembered = self.memory.remember(
            Experience(
                window=window,
                key=then.key,
                value=now,
                surprise=then.surprise,
                salience=then.salience,
                trust=then.trust,
                context=then.context,
                time_ns=time_ns,
                scores=then.scores,
                start_time_ns=then.time_ns if window is None else int(window.start_time_ns[0]),
            )
        )
        return remembered.is_kept

    def _offer_regular(self, time_ns: int) -> bool:
        """Offer the newest window, salient or not: examination needs a fair sample, replay ordinary ticks
        too.
        """
        window = self.transitions.latest(self._length)
        return window is not None and self.memory.offer_window(window, context=self._context, time_ns=time_ns)

    def _role(self, window: Window, time_ns: int) -> Role:
        return self.memory.examination.schedule.role_of_span(int(window.start_time_ns[0]), time_ns)

    def _facts(self, gate: float, is_kept: bool, bound: Bound) -> MemoryFacts:
        memory = self.memory
        return MemoryFacts(
            num_kept=len(memory.replay) + len(memory.examination),
            num_seen=memory.replay.num_seen + memory.examination.num_seen,
            capacity=memory.replay.capacity + memory.examination.capacity,
            num_transitions=len(self.transitions),
            salience=gate,
            is_kept=is_kept,
            num_bound=bound.num_bound,
            sidecar_error=bound.sidecar_error,
            value_error=bound.value_error,
            sidecar_share=bound.share,
            salience_weights=self._appraisal.taught_weights,
            num_missing=self._appraisal.num_missing if self._is_enabled else 0,
        )


def projections(layout: Layout) -> tuple[np.ndarray, np.ndarray, int]:
    """(KEY_DIM, C) and (VALUE_DIM, C) from standardised readings to the key and the value of a situation, and
    the number of physical channels: a reading from memory is not part of a new memory.
    """
    is_physical = np.array([spec.modality == "physical" for spec in layout.specs])[layout.source_of_channel]
    num_physical = int(is_physical.sum())
    generator = np.random.default_rng(PROJECTION_SEED)
    key = generator.normal(0, 1, (KEY_DIM, layout.num_channels)) * is_physical
    value = generator.normal(0, 1, (VALUE_DIM, layout.num_channels)) * is_physical
    return key, value / max(np.sqrt(num_physical), 1.0), num_physical


def _novelty(recalled: Recalled) -> float:
    """1 - the cosine of the best match, 0..1; NaN while memory has nothing to compare with."""
    return 1.0 - min(max(recalled.similarity, 0.0), 1.0) if recalled.num_hits else float("nan")
