"""Adaptive computation time (ACT) around a reasoner: which rows restart, continue and halt.

Invariant: recurrent state is passed in and returned; the module stores none between calls.
Shapes: B rows, S cells or vectors, F input features.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor, nn

from sage.errors import InputError
from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.checkpoint.saved_model import SavedModel
from sage.hrm_core.checkpoint.source import push_pretrained, read_pretrained, save_pretrained
from sage.hrm_core.config.keyword_arguments import config_from_keywords
from sage.hrm_core.config.model import ContinuousFront, ModelConfig, ObservationFront, TokenFront
from sage.hrm_core.model.attention import AttentionName, prepare_to_compile
from sage.hrm_core.model.layers import Attention, Linear, LinesBlock
from sage.hrm_core.model.losses import q_continue_target
from sage.hrm_core.model.perturbation import Perturbation
from sage.hrm_core.model.recurrence import Carry, Output
from sage.hrm_core.model.sequence import (
    Embedding,
    InputProjection,
    PuzzleEmbedding,
    SequenceReasoner,
    TokenBatch,
)

__all__ = ["HRM", "ACTState", "PuzzleEmbedding", "TokenBatch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ACTState:
    """carry; the puzzle of each row; segments done (B,) int32; whether the row halted (B,) bool."""

    carry: Carry
    batch: TokenBatch
    num_segments: Tensor
    is_halted: Tensor


class HRM(nn.Module):
    """A SequenceReasoner under ACT.

    `model(state, batch)` is one segment for every row: halted rows restart on the incoming batch; the others
    continue with their own puzzle and ignore it. `model(x)` with one tensor runs a whole computation and
    returns one tensor (see `forward`).
    Instead of a config it takes the keywords of config.keyword_arguments: `HRM(input_dim=1, h_dim=64,
    l_dim=32, output_dim=10)`, or `HRM(controller_dim=512, worker_dim=256)`. The latter has a lazy input:
    integers are symbols; the first float input (B, S, F) makes it a model of sequences with a projection of F
    features, as torch.nn.LazyLinear does. Run one input before building an optimizer.
    """

    def __init__(
        self, config: ModelConfig | None = None, *, generator: torch.Generator | None = None, **words: Any
    ) -> None:
        super().__init__()
        if config is not None and not isinstance(config, ModelConfig):
            raise TypeError(
                f"config is {config!r}: give a ModelConfig, such as ModelConfig.preset('hrm-27m')"
            )
        if config is not None and words:
            raise InputError(
                f"{', '.join(words)}: given beside a config, use dataclasses.replace on the config instead"
            )
        self.config = config_from_keywords(**words) if config is None else config
        self._is_input_lazy = "controller_dim" in words
        self.inner = SequenceReasoner(self.config)
        self.inner.init_weights(generator or torch.Generator().manual_seed(0))

    def initial_carry(
        self, batch_size: int, device: torch.device | str | None = None, *, num_tokens: int | None = None
    ) -> Carry:
        return self.inner.initial_carry(batch_size, device, num_tokens=num_tokens)

    def segment(
        self, carry: Carry, batch: TokenBatch, perturbation: Perturbation | None = None
    ) -> tuple[Carry, Output]:
        """One segment without halting."""
        carry, output = self.inner(carry, batch, perturbation)
        return carry, output

    def initial_state(self, batch: TokenBatch) -> ACTState:
        """All rows halted, so that the first call takes every row of its batch."""
        num_rows, device = batch.inputs.shape[0], batch.inputs.device
        return ACTState(
            carry=self.initial_carry(
                num_rows, device, num_tokens=self.inner.front.num_tokens_of(batch.inputs.shape[1])
            ),
            batch=batch,
            num_segments=torch.zeros(num_rows, dtype=torch.int32, device=device),
            is_halted=torch.ones(num_rows, dtype=torch.bool, device=device),
        )

    @overload
    def forward(self, state: Tensor, batch: None = None, *, max_segments: int | None = None) -> Tensor: ...

    @overload
    def forward(
        self,
        state: ACTState,
        batch: TokenBatch,
        *,
        halts_early: bool | None = None,
        max_segments: int | None = None,
        generator: torch.Generator | None = None,
        perturbation: Perturbation | None = None,
    ) -> tuple[ACTState, Output]: ...

    def forward(
        self,
        state: ACTState | Tensor,
        batch: TokenBatch | None = None,
        *,
        halts_early: bool | None = None,
        max_segments: int | None = None,
        generator: torch.Generator | None = None,
        perturbation: Perturbation | None = None,
    ) -> Tensor | tuple[ACTState, Output]:
        """One segment of `state`; or, for one tensor in its place, the output of `forward_hrm`: (B, S,
        output_dim).

        halts_early: whether the Q head may halt a row before max_segments (halt_max_segments); None means
        `self.training`. In training, exploration draws from `generator` (CPU): a row then halts no sooner
        than a drawn segment. perturbation: random starts and noise of training.
        """
        if isinstance(state, Tensor):
            return self.forward_hrm(state, max_segments=max_segments)["output"]
        if batch is None:
            raise InputError("batch is missing: give model(state, batch), or model(x) with one tensor")
        if self.training and self.config.halt_exploration > 0 and generator is None:
            raise InputError(
                "generator is None: exploration draws in training, give a torch.Generator or"
                " halt_exploration 0"
            )
        batch = batch.where(state.is_halted, state.batch)
        carry = self.inner.reset_rows(state.carry, state.is_halted, perturbation)
        carry, output = self.segment(carry, batch, perturbation)
        num_segments = torch.where(state.is_halted, 0, state.num_segments) + 1
        limit = self._segment_limit(max_segments)
        is_halted = num_segments >= limit
        if self.training if halts_early is None else halts_early:
            is_halted = is_halted | self.wants_halt(output)
        if self.training and generator is not None:
            is_halted = is_halted & (num_segments >= self._least_segments(num_segments, limit, generator))
        return ACTState(carry=carry, batch=batch, num_segments=num_segments, is_halted=is_halted), output

    def forward_hrm(self, x: Tensor, *, max_segments: int | None = None) -> dict[str, Tensor]:
        """Segments from a fresh carry until every row has halted, at most max_segments (halt_max_segments).

        x: integers (B, S), or floats (B, S, F).  Returns output (B, S, output_dim), each row's from the
        segment in which it halted; steps (B,) int32, segments done; halted (B,) bool, whether the Q head
        ended the row before the limit. Each segment is differentiated as in training: through
        config.gradient, not through the carry it starts from.
        """
        if x.is_floating_point():
            self._accept_features(x)
        num_rows = x.shape[0]
        batch = TokenBatch(inputs=x, labels=x, puzzle_ids=torch.full((num_rows,), -1, device=x.device))
        carry = self.initial_carry(num_rows, x.device, num_tokens=self.inner.front.num_tokens_of(x.shape[1]))
        limit = self._segment_limit(max_segments)
        halted = torch.zeros(num_rows, dtype=torch.bool, device=x.device)
        steps = torch.zeros(num_rows, dtype=torch.int32, device=x.device)
        result: Tensor | None = None
        for segment in range(1, limit + 1):
            carry, output = self.segment(carry, batch)
            assert output.logits is not None
            result = (
                output.logits if result is None else torch.where(halted[:, None, None], result, output.logits)
            )
            steps = steps + ~halted
            if segment < limit:
                halted = halted | self.wants_halt(output)
                if bool(halted.all()):  # sync: whether any row needs another segment
                    break
        assert result is not None
        return {"output": result, "steps": steps, "halted": halted}

    def _accept_features(self, x: Tensor) -> None:
        """InputError unless x (B, S, F) fits; a lazy input is replaced by a projection of F features."""
        if self._is_input_lazy and x.dim() == 3:
            front = self.config.front
            assert isinstance(front, TokenFront)
            continuous = ContinuousFront(
                input_dim=x.shape[-1],
                output_dim=front.vocab_size,
                seq_len=max(front.seq_len, x.shape[1], 1024),
            )
            self.config = dataclasses.replace(self.config, front=continuous)
            self.inner.replace_front(self.config, torch.Generator().manual_seed(0))
            self._is_input_lazy = False
        front = self.config.front
        if not isinstance(front, ContinuousFront):
            raise InputError(f"x is {x.dtype}: this model takes integers (rows, cells)")
        if x.dim() != 3 or x.shape[-1] != front.input_dim:
            raise InputError(
                f"x has shape {tuple(x.shape)}: this model takes (rows, steps, {front.input_dim})"
            )

    def wants_halt(self, output: Output) -> Tensor:
        """(B,) bool: HRM's rule halt > continue, or TRM's halt > 0."""
        assert output.q_halt is not None
        bar = output.q_continue if self.config.has_q_continue else torch.zeros_like(output.q_halt)
        assert bar is not None
        return (output.q_halt > bar).detach()

    @torch.no_grad()
    def next_q_continue(self, state: ACTState, *, max_segments: int | None = None) -> Tensor:
        """The target of q_continue after the segment that led to `state`, from one segment more: (B,) in
        0..1.
        """
        _, output = self.segment(state.carry, state.batch)
        assert output.q_halt is not None
        assert output.q_continue is not None
        is_last = state.num_segments >= self._segment_limit(max_segments)
        return q_continue_target(output.q_halt, output.q_continue, is_last)

    def _segment_limit(self, max_segments: int | None) -> int:
        return self.config.halt_max_segments if max_segments is None else max_segments

    def _least_segments(self, num_segments: Tensor, limit: int, generator: torch.Generator) -> Tensor:
        """(B,): with probability halt_exploration a number in 2..limit, else 0."""
        shape = num_segments.shape
        explores = torch.rand(shape, generator=generator) < self.config.halt_exploration
        least = torch.randint(min(2, limit), limit + 1, shape, generator=generator)
        return (explores * least).to(num_segments.device)

    def use_attention(self, backend: AttentionName | None) -> None:
        """Use this attention backend; None selects one for the device."""
        for module in self.modules():
            if isinstance(module, Attention):
                module.backend = backend

    def compile_blocks(self, **options: Any) -> None:
        """Compile each block in place: one graph for every call of every cycle; parameters keep their names.

        options: torch.compile's. HRM 27 M on two cores: 85 to 63 ms a segment, for 15 to 19 s once.
        """
        prepare_to_compile()
        for net in self.inner.nets:
            for block in net.layers:
                block.compile(**options)

    def compile_loops(self) -> None:
        """Load and compile the loops that mixer `lines` computes by on a CPU, where numba is installed. Else
        a segment does it, once torch has computed much (lines.py): the first time that takes seconds.
        """
        block = next((module for module in self.modules() if isinstance(module, LinesBlock)), None)
        if block is not None:
            block.compile_loops(self.inner.H_init)

    def to_inference(
        self, dtype: torch.dtype = torch.bfloat16, *, is_compiled: bool = False, is_in_place: bool = False
    ) -> HRM:
        """A copy for inference: weights cast once, no gradients. Q head, RoPE and puzzle rows stay fp32.

        is_in_place: convert this model instead of a copy, so that the weights are never in memory twice.
        On a CPU, bf16 matrices are stored transposed (shapes unchanged): products at batch 1 take 0.8x the
        time.
        """
        model = self if is_in_place else copy.deepcopy(self, _casts(self, dtype))
        model.eval().requires_grad_(False)
        for module in _cast_modules(model):
            for weight in module.parameters():
                weight.data = _laid_out(weight.data.to(dtype), is_matrix=isinstance(module, Linear))
        model.inner.compute_in(dtype)
        if is_compiled:
            model.compile_blocks()
        return model

    @classmethod
    def from_pretrained(cls, source: str | Path, *, device: str = "cpu", **options: Any) -> HRM:
        """The model of a folder, a file or a hub repository, ours or published, in eval mode.

        options and errors: those of checkpoint.source.read_pretrained.
        """
        return cls.from_saved(read_pretrained(source, **options)).to(device).eval()

    @classmethod
    def from_saved(cls, saved: SavedModel) -> HRM:
        """CheckpointError if the tensors do not fit the config, or belong to a model of sensors."""
        if isinstance(saved.config.front, ObservationFront):
            raise CheckpointError(
                f"{saved.path}: a model of sensors, not of puzzles: load it with"
                " sage.hrm_core.models.load_model"
            )
        model = cls(saved.config)
        saved.load_into(model)
        return model

    def at_side(self, side: int) -> HRM:
        """A copy for a square grid of `side` rows, in eval mode. InputError unless
        `config.fits_any_side`.
        """
        model = HRM(self.config.at_side(side))
        model.inner.compute_in(self.inner.H_init.dtype)
        weight = self.inner.lm_head.weight
        model.to(weight.device, weight.dtype).load_state_dict(self.state_dict())
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model.safetensors and config.json to the folder, which is created."""
        save_pretrained(self, folder)

    def push_to_hub(self, repository: str, *, is_private: bool = True) -> str:
        """Upload to the Hugging Face hub; returns the repository's address. Needs a token (`hf auth
        login`).
        """
        return push_pretrained(self, repository, is_private=is_private)


def _cast_modules(model: HRM) -> list[nn.Module]:
    """The modules whose weights are cast for inference."""
    return [module for module in model.modules() if isinstance(module, (Linear, Embedding, InputProjection))]


def _casts(model: HRM, dtype: torch.dtype) -> dict[int, nn.Parameter]:
    """A memo for copy.deepcopy: id of a weight -> its cast, so that no weight is copied at full width."""
    weights = (
        weight for module in _cast_modules(model) for weight in module.parameters() if weight.dtype != dtype
    )
    return {id(weight): nn.Parameter(weight.detach().to(dtype), requires_grad=False) for weight in weights}


def _laid_out(weight: Tensor, *, is_matrix: bool) -> Tensor:
    """Transposed in memory for bf16 matrices on a CPU, which are otherwise repacked for every product."""
    if is_matrix and weight.device.type == "cpu" and weight.dtype == torch.bfloat16:
        return weight.t().contiguous().t()
    return weight
