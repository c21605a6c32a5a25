"""How a model is trained: one frozen config, checked when it is made. Imports no torch.

Invariant: a TrainConfig that exists can be run; every mistake is a InputError that names the field.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from sage.errors import InputError
from sage.hrm_core.optim.config import LARGEST_RATE, MatmulKind, OptimizerConfig, require
from sage.hrm_core.training.deduction_config import DeductionConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

LossKind = Literal["stablemax", "softmax"]
#: Of loader_timeout_secs: a year. The operating system refuses a wait of more than some centuries.
LONGEST_WAIT_SECS = 31_536_000
_WAIT_REMEDY = f"give a number of seconds above 0, to {LONGEST_WAIT_SECS:,}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One run. Its length is `steps`, or `epochs` of `examples_per_epoch` examples (a loaded task knows their
    number).

    batch_size: rows under way, over all ranks.  micro_batches: parts of a rank's rows whose gradients are
    added up.
    clip_norm: of the whole gradient; None leaves it.  bf16: of activations.  compile: each block, built in
    the first step.
    matmul: torch's float32_matmul_precision during a step; "medium" multiplies in bf16 where the machine can
    (AMX: a third off a step of the small models), sums and activations stay fp32.
    first_segments: at most so many for a puzzle during the first `first_share` of the steps, then the model's
    halt_max_segments. Each segment moves the weights, so that many in a row fit the rows under way rather
    than the puzzles: hard sudoku, small model, 600 steps, unknown cells 28% right with 16, 37 with 8, 42 with
    4, 45 with 2.
    ema_decay: of the average that is evaluated and saved as the model; None: the weights themselves.
    label_smoothing, q_weight, cross_entropy: of the loss.
    random_start: standard deviation of the normal state that each row starts from in place of H_init and
    L_init, 0: from those.  state_noise: standard deviation of the noise on z_H and z_L after each call of a
    net. Both belong to training: inference starts its first pass at H_init and L_init and adds no noise
    (EqR, arXiv 2605.21488: 1.0 and 0.01, with the model's damping at 0.05 and ema_decay 0.999).
    eval_every, save_every: in steps; 0: only at the end.  eval_examples, eval_segments: what an evaluation
    looks at.
    stop_at_exact: stop once this share of finished training rows is exact.  stop_at_q_loss: stop when the Q
    loss, averaged over the same window of `stop_window` steps, passes it.  max_bad_steps: steps in a row that
    may fail to be finite.
    max_cpu_secs: of training, all threads.  loader_timeout_secs: how long a step waits for rows.
    guesses: cells that are filled in, one after another, in a puzzle that its segments do not solve; each
    gives it `guess_segments` more. It trains the model on the states that a search meets; 0: none.
    deduction: losses and states of a model with deduction heads; None: the defaults. batch_size is then the
    size of its pool of states.
    """

    steps: int | None = None
    epochs: float | None = None
    examples_per_epoch: float | None = None
    batch_size: int = 64
    micro_batches: int = 1
    seed: int = 0
    cross_entropy: LossKind = "stablemax"
    label_smoothing: float = 0.0
    q_weight: float = 0.5
    random_start: float = 0.0
    state_noise: float = 0.0
    guesses: int = 0
    guess_segments: int = 6
    clip_norm: float | None = None
    bf16: bool = False
    compile: bool = False
    matmul: MatmulKind = "highest"
    first_segments: int | None = None
    first_share: float = 0.5
    ema_decay: float | None = None
    ema_begin_step: int = 0
    eval_every: int = 0
    eval_examples: int = 1000
    eval_segments: tuple[int, ...] = (1, 2, 4, 8, 16)
    save_every: int = 0
    stop_at_exact: float | None = None
    stop_at_q_loss: float | None = None
    stop_window: int = 100
    max_bad_steps: int = 10
    max_cpu_secs: float | None = None
    loader_timeout_secs: float = 300.0
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    deduction: DeductionConfig | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "micro_batches", "eval_examples", "stop_window", "max_bad_steps"):
            value = getattr(self, name)
            require(1 <= value < 2**31, name, value, f"give a whole number from 1 to {2**31 - 1}")
        require(self.seed < 2**63, "seed", self.seed, "give 0 to 2^63 - 1")
        for name in ("eval_every", "save_every", "ema_begin_step", "seed"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "give 0 or more")
        weight = self.q_weight
        require(0 <= weight <= LARGEST_RATE, "q_weight", weight, f"give a number from 0 to {LARGEST_RATE:,}")
        for name in ("steps", "epochs", "examples_per_epoch", "clip_norm", "max_cpu_secs", "stop_at_q_loss"):
            value = getattr(self, name)
            require(value is None or 0 < value < 2**63, name, value, "give a number above 0, below 2^63")
        for name in ("label_smoothing", "ema_decay"):
            require(
                getattr(self, name) is None or 0 <= getattr(self, name) < 1,
                name,
                getattr(self, name),
                "give 0 to below 1",
            )
        require(
            self.stop_at_exact is None or 0 < self.stop_at_exact <= 1,
            "stop_at_exact",
            self.stop_at_exact,
            "give a share",
        )
        for name in ("random_start", "state_noise"):
            value = getattr(self, name)
            require(0 <= value <= 10, name, value, "give a standard deviation, 0 to 10")
        for name, least in (("guesses", 0), ("guess_segments", 1)):
            value = getattr(self, name)
            is_count = type(value) is int and least <= value <= 4096
            require(is_count, name, value, f"give a whole number from {least} to 4096")
        few = self.first_segments
        is_met = few is None or 1 <= few < 2**31
        require(is_met, "first_segments", few, f"give a whole number from 1 to {2**31 - 1}")
        require(0 <= self.first_share <= 1, "first_share", self.first_share, "give a share, 0 to 1")
        secs = self.loader_timeout_secs
        require(0 < secs <= LONGEST_WAIT_SECS, "loader_timeout_secs", secs, _WAIT_REMEDY)
        for name, kind in (("cross_entropy", LossKind), ("matmul", MatmulKind)):
            require(
                getattr(self, name) in get_args(kind),
                name,
                getattr(self, name),
                f"give one of {', '.join(get_args(kind))}",
            )
        is_valid = len(self.eval_segments) > 0 and all(1 <= each <= 4096 for each in self.eval_segments)
        require(
            is_valid, "eval_segments", self.eval_segments, "give numbers of segments, each from 1 to 4096"
        )
        require(
            self.steps is None or self.epochs is None, "steps", self.steps, "give steps or epochs, not both"
        )

    def num_steps(self, examples_per_epoch: float | None = None) -> int:
        """Steps of the whole run: `steps`, or epochs * examples / batch_size, as the published trainer
        counts.

        InputError where the config has no length.
        """
        if self.steps is not None:
            return self.steps
        if self.epochs is None:
            raise InputError("steps is None: set steps or epochs")
        examples = self.examples_per_epoch or examples_per_epoch
        if examples is None:
            raise InputError("examples_per_epoch is None: set it, or set steps instead of epochs")
        return max(1, int(self.epochs * examples / self.batch_size))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> TrainConfig:
        """What `dataclasses.asdict` gave, also after JSON."""
        optimizer = dict(plain["optimizer"])
        optimizer["betas"] = tuple(optimizer["betas"])
        deduction = plain.get("deduction")
        rest = {
            **plain,
            "deduction": None if deduction is None else DeductionConfig(**deduction),
            "eval_segments": tuple(plain["eval_segments"]),
            "optimizer": OptimizerConfig(**optimizer),
        }
        return cls(**rest)
