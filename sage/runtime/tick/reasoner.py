"""The reasoning model in the loop: tokens in, carry across ticks, one readout tensor out.

Row 0 of the batch has all sources and the carry of the last tick. Row 1 audits: one source is masked and the
carry is the initial one, so that no reading of the source, old or new, enters its estimate (HRM.md, In the
loop). Invariant: one host sync a tick, at the readout.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.config.model import ModelConfig, ObservationFront
from sage.hrm_core.model.recurrence import Carry, Output
from sage.hrm_core.models import load_model
from sage.hrm_core.observation.fields import BOOL_FIELDS, TICK_FIELDS, TickFields, field_sizes
from sage.hrm_core.observation.model import Observation, ObservationModel
from sage.memory.windows.window import Window
from sage.runtime.activity import NO_ACTIVITY, ActivityFacts
from sage.runtime.channels.layout import Layout
from sage.runtime.config import ModelSection, TickConfig
from sage.runtime.tick.worlds import ONE_WORLD, WorldParts

HALT_PROBABILITY = 0.5
#: Of the slowest ticks: a shorter time between two ticks is no gap.
GAP_TICKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Percept(TickFields[np.ndarray]):
    """The model's input of one tick: fields (C,) and (N,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """The model's output of one tick, on the host. prediction, level: (C,); states: (N, D) of row 0;
    action_mean, action_log_std: (A,); value: (W,) of each world.
    """

    prediction: np.ndarray
    level: np.ndarray
    states: np.ndarray
    action_mean: np.ndarray
    action_log_std: np.ndarray
    value: np.ndarray
    num_segments: int
    is_finite: bool
    model_ns: int
    activity: ActivityFacts = NO_ACTIVITY


def build_model(
    layout: Layout,
    num_actions: int,
    section: ModelSection,
    seed: int,
    choices: tuple[tuple[int, int], ...] = (),
    worlds: WorldParts = ONE_WORLD,
) -> ObservationModel:
    """A new model for these sources, initialised from `seed`."""
    config = ModelConfig(
        front=ObservationFront(
            source_dims=tuple(int(size) for size in layout.dims),
            num_actions=num_actions,
            choices=choices,
            **worlds._asdict(),
        ),
        hidden_size=section.hidden_size,
        num_heads=section.num_heads,
        H_layers=section.num_layers,
        L_layers=section.num_layers,
        H_cycles=section.H_cycles,
        L_cycles=section.L_cycles,
        expansion=section.expansion,
        mlp_multiple=32,
        has_q_continue=False,
        is_recurrent=section.kind == "hrm",
    )
    return ObservationModel(config, generator=torch.Generator().manual_seed(seed))


def load_observation_model(path: Path) -> ObservationModel:
    """The loop's model from a file. CheckpointError when the file has another model or none."""
    model, _ = load_model(path)
    if not isinstance(model, ObservationModel):
        raise CheckpointError(f"{path}: a model of puzzles, not of sensors: give one that `sage run` wrote")
    return model


class Reasoner:
    """Owns the live model and its carry. ticks: a few of the slowest are no gap."""

    def __init__(
        self,
        model: ObservationModel,
        layout: Layout,
        section: ModelSection,
        device: torch.device,
        ticks: TickConfig | None = None,
    ) -> None:
        self.model = model.to(device).eval()
        self.device = device
        self._layout = layout
        # Reading q_halt waits for the device. On a GPU that takes longer than the segment it can save.
        self._halts = device.type == "cpu"
        ticks = ticks or TickConfig()
        slowest_hz = min(ticks.rate_hz, ticks.rest_rate_hz, ticks.dream_rate_hz)
        self._carry_ttl_ns = int(max(section.carry_ttl_secs, GAP_TICKS / slowest_hz) * 1e9)
        self._last_ns: int | None = None
        self._rows = torch.zeros(2, 4 * layout.num_channels + 4 * layout.num_sources)  # a tick's upload
        self._initial = model.initial_carry(1, device)
        self.carry = self._initial
        self.num_resets = 0

    def reset(self) -> None:
        """Return to the initial carry: after a gap, and when the readout is not finite."""
        self.carry = self._initial
        self.num_resets += 1

    def start_again(self, is_reset: np.ndarray) -> None:
        """Return to the initial carry where worlds (W,) have started again: not a fault, and not counted."""
        worlds = torch.from_numpy(is_reset[None]).to(self.device)
        self.carry = self.model.start_again(self.carry, worlds)

    @torch.inference_mode()
    def think(self, percept: Percept, audited: int, max_segments: int, now_ns: int) -> Readout:
        """Up to `max_segments` segments on row 0's carry; the audit row masks source `audited`."""
        if self._last_ns is not None and now_ns - self._last_ns > self._carry_ttl_ns:
            self.reset()
        self._last_ns = now_ns
        started_ns = time.perf_counter_ns()
        observation = self._upload(percept, audited)
        live, fresh = self.carry, self._initial
        before = Carry(z_H=torch.cat([live.z_H, fresh.z_H]), z_L=torch.cat([live.z_L, fresh.z_L]))
        carry, output = self.model(before, observation)
        num_segments = 1
        while num_segments < max_segments and not (self._halts and _has_halted(output)):
            before = carry
            carry, output = self.model(carry, observation)
            num_segments += 1
        readout = self._read(output, before, carry, num_segments, started_ns)
        self.carry = Carry(z_H=carry.z_H[:1].clone(), z_L=carry.z_L[:1].clone())
        if not readout.is_finite:
            self.reset()
        return readout

    @property
    def carry_shape(self) -> tuple[int, int]:
        """(S, D)"""
        _, num_tokens, size = self._initial.z_H.shape
        return num_tokens, size

    @torch.inference_mode()
    def burn_in(self, window: Window | None, num_segments: int = 1) -> None:
        """Rebuild the carry from `window` (B = 1) with the current weights; None leaves it unchanged."""
        if window is None:
            return
        carry = self._initial
        for tick in range(window.num_ticks + 1):
            starts_again = window.starts_again(tick)
            carry = carry if starts_again is None else self.model.start_again(carry, starts_again)
            observation = window.rows(tick, tick + 1, window.present)
            for _ in range(num_segments):
                carry, _ = self.model(carry, observation)
        self.carry = carry

    def adopt(self, model: ObservationModel) -> None:
        """Load other weights of the same shape and reset the carry; the caller rebuilds it by `burn_in`."""
        self.model.load_state_dict(model.state_dict())
        self._initial = self.model.initial_carry(1, self.device)
        self.reset()

    def _upload(self, percept: Percept, audited: int) -> Observation:
        channels, sources = self._layout.num_channels, self._layout.num_sources
        host = self._rows.numpy()
        host[:] = np.concatenate(list(percept.by_name().values()))
        host[1, 4 * channels + audited] = 0.0
        rows = self._rows.to(self.device, non_blocking=True)
        fields = dict(zip(TICK_FIELDS, rows.split(list(field_sizes(channels, sources).values()), dim=1)))
        return Observation(**fields | {name: fields[name] > 0 for name in BOOL_FIELDS})

    def _read(
        self, output: Output, before: Carry, carry: Carry, num_segments: int, started_ns: int
    ) -> Readout:
        num_sources, channels = self._layout.num_sources, self._layout.num_channels
        assert output.prediction is not None
        assert output.level is not None
        assert output.value is not None
        states = carry.z_H[0, :num_sources]  # (N, D)
        parts = [output.prediction[0], output.level[1], states.reshape(-1), output.value[0]]
        if output.action_mean is not None and output.action_log_std is not None:
            parts += [output.action_mean[0], output.action_log_std[0]]
        parts += _sizes(before, carry)
        flat = torch.cat([part.float() for part in parts]).cpu().numpy()  # sync: the tick's one readout
        num_actions, num_worlds = self.model.front.num_actions, self.model.front.num_worlds
        sizes = np.cumsum([channels, channels, states.numel(), num_worlds, num_actions, num_actions])
        prediction, level, state, value, mean, log_std, changes = np.split(flat, sizes)
        is_finite = bool(np.isfinite(flat).all())
        return Readout(
            prediction=prediction.astype(np.float64) if is_finite else np.zeros(channels),
            level=level.astype(np.float64) if is_finite else np.zeros(channels),
            states=state.reshape(num_sources, -1),
            action_mean=mean if is_finite else np.zeros_like(mean),
            action_log_std=log_std if is_finite else np.zeros_like(log_std),
            value=value.astype(np.float64) if is_finite else np.full(num_worlds, np.nan),
            num_segments=num_segments,
            is_finite=is_finite,
            model_ns=time.perf_counter_ns() - started_ns,
            activity=_activity(*changes.tolist()) if is_finite else NO_ACTIVITY,
        )


def _sizes(before: Carry, after: Carry) -> list[Tensor]:
    """Of row 0, (1,) each: the change of z_H, the size of z_H before it, and the same of z_L."""
    states = ((before.z_H[0], after.z_H[0]), (before.z_L[0], after.z_L[0]))
    return [size.reshape(1) for old, new in states for size in (torch.dist(new, old), old.norm())]


def _activity(h_change: float, h_size: float, l_change: float, l_size: float) -> ActivityFacts:
    return ActivityFacts(h_change=h_change / max(h_size, 1e-12), l_change=l_change / max(l_size, 1e-12))


def _has_halted(output: Output) -> bool:
    assert output.q_halt is not None
    return float(output.q_halt[0].sigmoid()) > HALT_PROBABILITY  # sync: whether another segment runs
