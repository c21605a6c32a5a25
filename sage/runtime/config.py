"""The loop's settings as frozen pydantic models: an unknown key is an error, every number has a unit.

Imports no torch, so that a configuration is checked before torch is loaded.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sage.runtime.coherence_config import CoherenceConfig
from sage.runtime.dreams_config import DreamsConfig
from sage.runtime.energy_config import EnergyConfig, MetabolismConfig
from sage.runtime.guards_config import GuardsConfig
from sage.runtime.measurements_config import MeasurementGroups
from sage.runtime.section import Section as Section
from sage.runtime.solving_config import SolverTrainingConfig as SolverTrainingConfig
from sage.runtime.solving_config import SolvingConfig as SolvingConfig


class TickConfig(Section):
    """How often the loop ticks in each state, in Hz."""

    rate_hz: float = Field(20.0, gt=0, le=1000)
    rest_rate_hz: float = Field(20.0, gt=0, le=1000)
    dream_rate_hz: float = Field(10.0, gt=0, le=1000)


class AttentionConfig(Section):
    """Which sources get full attention: `top_k` of them a tick, by what waiting costs, trust and salience.

    A source that delivers every tick gets it within 4 N / top_k + 1 ticks (docs/attention.md).
    """

    top_k: int = Field(16, ge=1)
    policy: Literal["whittle", "top_k", "deficit", "round_robin", "random", "surprise"] = Field(
        "whittle",
        description="whittle: the largest expected error of waiting; top_k: the best by trust and salience;"
        " deficit: deficit round robin by score x rate of error; the others are for comparison, without the"
        " limit on waiting",
    )
    rates_hz: dict[str, float] = Field(
        default={},
        description="names of sources, with * and ?: how often each must get full attention, in Hz",
    )
    max_per_producer: int = Field(
        0, ge=0, description="places a tick for all sources of one producer, where places are short; 0: all"
    )
    producers: dict[str, tuple[str, ...]] = Field(
        default={},
        description="names of sources by producer, with * and ?; others: the name up to its first dot",
    )
    pin_change: float = Field(
        0.0,
        ge=0,
        le=1,
        description="change of a source's agreement with the others from which it is pinned; 0: never",
    )
    pin_window: int = Field(16, ge=4, le=1024, description="agreements of a source that are compared")
    min_confidence: float = Field(
        0.0,
        ge=0,
        le=1,
        description="while the posture's confidence is below it, sources with less trust than"
        " `posture.min_trust` are held; 0: never",
    )
    hysteresis: float = Field(0.1, ge=0, description="relative bonus of the sources attended last tick")
    age_boost: float = Field(
        0.25, ge=0, description="bonus for each tick that a source waits, relative to the mean score"
    )
    max_age_secs: float = Field(5.0, gt=0, description="older readings have no weight")


class VisionConfig(Section):
    """How images are read (docs/attention.md)."""

    focus_tiles: int = Field(
        0, ge=0, le=48, description="of 48 tiles, read at full resolution in a frame; 0: none"
    )


class BudgetConfig(Section):
    """Limits of one tick, in counted units, so that results are equal on every machine."""

    segments: int = Field(2, ge=1, le=64)
    practice_steps: int = Field(1, ge=0, le=64)
    tokens: int | None = Field(
        None, ge=1, description="that segments compute, of prediction and puzzles; null: no limit"
    )
    bytes: int | None = Field(
        None, ge=1, description="of the readings with full attention; the sources after them wait"
    )
    puzzle_secs: float | None = Field(
        None, gt=0, description="time of a tick's segments of puzzles; none starts after it"
    )


class ModelSection(Section):
    """The reasoning model of the loop (HRM.md, In the loop): one token for each source, and two more."""

    kind: Literal["hrm", "linear"] = Field(
        "hrm", description="linear: no H or L net and no state between ticks, for comparison"
    )
    hidden_size: int = Field(64, ge=8)
    num_heads: int = Field(4, ge=1)
    num_layers: int = Field(1, ge=1)
    H_cycles: int = Field(2, ge=1)
    L_cycles: int = Field(2, ge=1)
    expansion: float = Field(2.0, gt=0)
    carry_ttl_secs: float = Field(5.0, gt=0, description="the carry is reset after a gap longer than this")


class TrustConfig(Section):
    """Reliability of each source: a Beta distribution on outliers and an inverse gamma on scale
    (docs/trust.md).
    """

    enabled: bool = Field(True, description="false: the trust in every source is 1, for comparison")
    prior_inlier: float = Field(9.0, gt=0)
    prior_outlier: float = Field(1.0, gt=0)
    prior_scale: float = Field(10.0, gt=0)
    forgetting: float = Field(0.97, gt=0, lt=1)
    outlier_ratio: float = Field(400.0, gt=1, description="kappa: variance of an outlier over an inlier's")
    stuck_window: int = Field(24, ge=4)
    by_context: bool = Field(
        False, description="where another context begins, trust moves by the sources' records in both"
    )
    replaces: bool = Field(True, description="predict the signal beneath a source's jump or standstill")


#: Which weights a training loop changes.
Trains = Literal["L", "H", "both"]


class PracticeConfig(Section):
    """L-level learning between ticks: small steps on recent transitions."""

    enabled: bool = True
    trains: Trains = Field("L", description="L: all but the H net; H: the H net alone; both: all weights")
    every_ticks: int = Field(4, ge=1)
    by_time: bool = Field(False, description="every_ticks counts ticks of tick.rate_hz, also in slower modes")
    batch_size: int = Field(4, ge=1)
    passes: int = Field(1, ge=1, description="steps on each batch, on as many parts of it; unrolled once")
    window_ticks: int = Field(16, ge=4)
    burn_in_ticks: int = Field(4, ge=0)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    mask_probability: float = Field(0.2, ge=0, lt=1)
    prediction_weight: float = Field(1.0, ge=0, description="of the next readings in the loss")
    halt_weight: float = Field(0.05, ge=0, description="of halting in the loss; 0 saves a segment")


class ActingConfig(Section):
    """How the loop acts where a source observes a reward, and what practice learns from it."""

    explores: bool = Field(True, description="draw actions from the policy, instead of its mode")
    min_std: float = Field(
        0.0, ge=0, le=2, description="least spread of what is drawn, before the tanh; 0: the policy's own"
    )
    action_weight: float = Field(1.0, ge=0, description="of advantage-weighted regression in the loss")
    value_weight: float = Field(0.5, ge=0)
    discount: float = Field(0.95, ge=0, lt=1)
    trace: float = Field(0.9, ge=0, le=1, description="lambda of TD(lambda)")
    temperature: float = Field(1.0, gt=0, description="of the weights exp(advantage / temperature)")
    max_weight: float = Field(20.0, gt=0)
    reward_scale: float = Field(
        1.0, gt=0, description="the reward is multiplied by it; (1 - discount) gives values of its size"
    )
    entropy_weight: float = Field(0.0, ge=0, description="of the entropy of choices")


class SleepConfig(Section):
    """H-level learning: a copy of the model is trained on replay and replaces it only if it is better on
    held-out experience.
    """

    enabled: bool = True
    trains: Trains = Field("both", description="L: all but the H net; H: the H net alone; both: all weights")
    where: Literal["process", "inline"] = "process"
    first_after_secs: float = Field(60.0, gt=0)
    every_secs: float = Field(600.0, gt=0)
    timeout_secs: float = Field(600.0, gt=0)
    num_steps: int = Field(32, ge=1)
    batch_size: int = Field(8, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    ema_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="of the steps, which the candidate's average of weights spans; 0: no average",
    )
    ewc: float = Field(
        0.0,
        ge=0,
        description="weight of elastic weight consolidation, which keeps weights that matter near those"
        " before the night; 0: none",
    )
    min_examined: int = Field(64, ge=1)
    examined_fraction: float = Field(0.1, gt=0, lt=0.5)
    block_secs: float = Field(5.0, gt=0)


class MemoryConfig(Section):
    """Capacities: H-memory in experiences and recall entries, L-memory in ticks."""

    enabled: bool = Field(
        True,
        description="false: no experience is kept for replay, examination or recall, for comparison; practice"
        " has the latest num_transitions",
    )
    num_experiences: int = Field(512, ge=8)
    num_recall: int = Field(1024, ge=8)
    index: Literal["exact", "approximate"] = Field(
        "exact",
        description="how recall is searched; approximate: from 20,000 entries on by an index, which needs"
        " hnswlib or usearch, and can miss a near match",
    )
    num_transitions: int = Field(2048, ge=64)
    num_contexts: int = Field(
        1, ge=1, le=256, description="clusters of situations that share the slots of replay and recall"
    )
    write_rate: float = Field(0.1, gt=0, le=1, description="share of ticks that open the memory gate")


Verdict = Literal["allow", "warn", "deny"]


class PolicyRule(Section):
    """One rule: what it matches, and the decision. It matches where all of its conditions hold.

    effect, target, role: "*" matches any. The role says what proposes the action: "model" (the loop's action
    head), "solver" (an answer), or that of a relay.
    starved: at least one of these modalities is starved.  needs: none of these is.
    """

    decision: Verdict
    effect: str = "*"
    target: str = "*"
    role: str = "*"
    states: tuple[Literal["wake", "focus", "rest", "dream", "crisis"], ...] = ("wake", "focus", "rest")
    min_trust: float = Field(0.0, ge=0, le=1)
    max_trust: float = Field(1.0, ge=0, le=1)
    min_confidence: float = Field(0.0, ge=0, le=1)
    min_breadth: float = Field(0.0, ge=0, le=1)
    starved: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    priority: int = 0
    reason: str = ""


class PolicyConfig(Section):
    """An effector acts only where a rule allows it. Deny rules come first, then the highest priority, then
    the order in the file; without a matching rule: denied.

    dry_run: actions of every effector are decided and logged, and not applied; no device is opened.
    """

    rules: tuple[PolicyRule, ...] = ()
    dry_run: bool = False


class PostureConfig(Section):
    """Which sources make up a modality, for the posture. See `sage.runtime.trust.posture`.

    modalities: names of sources by modality; * and ? match any characters. Other physical sources belong to
    the modality of what they observe.
    """

    modalities: dict[str, tuple[str, ...]] = Field(
        default={}, description="names of sources by modality, with * and ?"
    )
    min_trust: float = Field(0.3, ge=0, le=1, description="a source below it feeds no modality")


class RuntimeConfig(Section):
    """The settings of the loop, without sensors and effectors."""

    seed: int = Field(0, ge=0, lt=2**63)
    reasoner: Literal["hrm", "linear", "transformer", "mlp"] = Field(
        "hrm", description="of puzzle streams; the others are not recurrent, for comparison"
    )
    tick: TickConfig = TickConfig()
    attention: AttentionConfig = AttentionConfig()
    vision: VisionConfig = VisionConfig()
    budget: BudgetConfig = BudgetConfig()
    energy: EnergyConfig = EnergyConfig()
    metabolism: MetabolismConfig = MetabolismConfig()
    model: ModelSection = ModelSection()
    trust: TrustConfig = TrustConfig()
    practice: PracticeConfig = PracticeConfig()
    acting: ActingConfig = ActingConfig()
    sleep: SleepConfig = SleepConfig()
    dreams: DreamsConfig = DreamsConfig()
    memory: MemoryConfig = MemoryConfig()
    solving: SolvingConfig = SolvingConfig()
    solver_training: SolverTrainingConfig = SolverTrainingConfig()
    policy: PolicyConfig = PolicyConfig()
    posture: PostureConfig = PostureConfig()
    coherence: CoherenceConfig = CoherenceConfig()
    measurements: MeasurementGroups = ()
    guards: GuardsConfig = GuardsConfig()
    max_resident_bytes: int = Field(8 << 30, gt=0, description="above this the loop stops with CRISIS")

    @model_validator(mode="after")
    def _has_weights(self) -> RuntimeConfig:
        for name in ("practice", "sleep"):
            section = getattr(self, name)
            if self.model.kind == "linear" and section.enabled and section.trains == "H":
                raise ValueError(
                    f"{name}.trains is H: model.kind linear has no H net: give both, or {name}.enabled: false"
                )
        return self
