"""A plain network that learns as the loop's action head does: the same regression, values, batches and world.

Two hidden layers of tanh on the world's readings, no loop, no memory, no prediction, about as many weights as
the loop's model. Invariant: the same settings (configs/gym.yaml) and the same world; equal seeds give equal
trials.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from _gym_loop import CONFIG, NUM_RECENT, Limits, Trial
from torch import Tensor, nn

from sage.app.config.registry import resolve
from sage.app.config.sage_config import SageConfig, load_config
from sage.hrm_core.observation.action import (
    ActionPolicy,
    advantage_weights,
    lambda_returns,
    weighted_regression,
)
from sage.hrm_core.observation.window import CUT_OFF, ENDED
from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext
from sage.sensors.environment import Environment

NUM_SCALED = 1000  # ticks of which the readings' deviations are taken


class World:
    """The first enabled environment of a config, by its sensors and its effector."""

    def __init__(self, config: SageConfig, seed: int) -> None:
        entry = config.enabled_environments[0]
        settings = entry.config.model_copy(update={"seed": seed})
        context = SensorContext(clock=ManualClock(), epoch_ns=0)
        environment: Environment = resolve("environments", entry.kind)(settings, context)
        environment.open()
        self._environment = environment
        *self._views, self._reward, self._reset = environment.sensors()
        (self._effector,) = environment.effectors()
        for device in (*environment.sensors(), self._effector):
            device.open()
        self.size = sum(sensor.spec.tensor.num_elements for sensor in self._views)
        self.num_actions = self._effector.spec.size
        self._tick = 0

    def read(self) -> tuple[np.ndarray, float, float]:
        """The views as one vector, the reward and the reset."""
        parts = []
        for sensor in (*self._views, self._reward, self._reset):
            out = np.zeros(sensor.spec.tensor.shape, sensor.spec.tensor.dtype)
            sensor.read_into(out)
            parts.append(out.reshape(-1).astype(np.float32))
        return np.concatenate(parts[:-2]), float(parts[-2][0]), float(parts[-1][0])

    def act(self, chosen: int) -> None:
        values = np.full(self.num_actions, -1.0, dtype=np.float32)
        values[chosen] = 1.0
        self._effector.apply(values, self._tick)
        self._tick += 1

    def close(self) -> None:
        self._environment.close()


class Network:
    """Logits and a value, and a ring of what was done."""

    def __init__(self, world: World, config: SageConfig, width: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        sizes = (world.size, width, width)
        layers: list[nn.Module] = []
        for inside, outside in pairwise(sizes):
            layers += [nn.Linear(inside, outside), nn.Tanh()]
        head = nn.Linear(width, world.num_actions + 1)
        self.body = nn.Sequential(*layers, head)
        with torch.no_grad():
            for layer in self.body:
                if isinstance(layer, nn.Linear):
                    layer.weight.normal_(0, layer.in_features**-0.5, generator=generator)
                    layer.bias.zero_()
            head.weight.zero_()
        self._config, self._num_actions = config, world.num_actions
        self._optimizer = torch.optim.AdamW(
            self.body.parameters(), lr=config.practice.learning_rate, betas=(0.9, 0.95), weight_decay=0.0
        )
        capacity = config.memory.num_transitions
        self._views = np.zeros((capacity, world.size), np.float32)
        self._chosen = np.zeros(capacity, np.int64)
        self._rewards = np.zeros(capacity, np.float32)
        self._resets = np.zeros(capacity, np.float32)
        self.scale = np.ones(world.size, np.float32)
        self.num_ticks = self.num_steps = 0
        self.total, self.was_reset = 0.0, False  # of the episode
        self._random = np.random.default_rng(seed)

    def choose(self, view: np.ndarray, *, explores: bool) -> int:
        with torch.no_grad():
            logits = self.body(torch.from_numpy(view / self.scale))[:-1].numpy()
        return int(np.argmax(logits + self._random.gumbel(size=logits.size) if explores else logits))

    def keep(self, view: np.ndarray, chosen: int, reward: float, reset: float) -> None:
        slot = self.num_ticks % len(self._views)
        self._views[slot], self._chosen[slot] = view, chosen
        self._rewards[slot], self._resets[slot] = reward, reset
        self.num_ticks += 1
        if self.num_ticks <= NUM_SCALED and self.num_ticks & (self.num_ticks - 1) == 0 and slot >= 16:
            std = self._views[: self.num_ticks].std(0)
            self.scale = np.where(std > 0, std, 1.0).astype(np.float32)

    def practise(self) -> None:
        """As `Practice` has it: `passes` steps on parts of one batch, every `every_ticks` ticks."""
        practice = self._config.practice
        length = practice.window_ticks
        oldest = max(0, self.num_ticks - len(self._views))
        if self.num_ticks % practice.every_ticks or self.num_ticks - oldest <= length + 1:
            return
        starts = self._random.integers(oldest, self.num_ticks - length, practice.batch_size)
        for part in np.array_split(starts, practice.passes):
            slots = (part[None, :] + np.arange(length + 1)[:, None]) % len(self._views)  # (T + 1, B)
            loss = self._loss(slots)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.body.parameters(), 1.0)
            self._optimizer.step()
            self.num_steps += 1

    def _loss(self, slots: np.ndarray) -> Tensor:
        acting = self._config.acting
        output = self.body(torch.from_numpy(self._views[slots] / self.scale))
        value, logits = output[..., -1], output[:-1, :, :-1]
        reset = torch.from_numpy(self._resets[slots])
        reward = torch.from_numpy(self._rewards[slots]) * acting.reward_scale
        returns = lambda_returns(
            torch.where(reset == CUT_OFF, torch.nan, reward),
            value.detach(),
            discount=acting.discount,
            trace=acting.trace,
            is_end=reset == ENDED,
        )
        is_known = returns.isfinite()
        weight = advantage_weights(
            returns - value[:-1].detach(), temperature=acting.temperature, limit=acting.max_weight
        )
        chosen = torch.from_numpy(self._chosen[slots[:-1]])
        action = 2.0 * nn.functional.one_hot(chosen, self._num_actions).float() - 1.0
        policy = ActionPolicy(
            mean=logits, log_std=torch.zeros_like(logits), choices=((0, self._num_actions),)
        )
        errors = torch.where(is_known, value[:-1] - torch.where(is_known, returns, 0.0), 0.0)
        return (
            acting.action_weight * weighted_regression(policy, action, weight)
            - acting.entropy_weight * policy.entropy().mean()
            + acting.value_weight * errors.square().sum() / is_known.sum().clamp(min=1)
        )


def width_for(num_parameters: int, world: World) -> int:
    """The width at which two hidden layers and the heads have about so many weights."""
    outputs = world.num_actions + 1

    def size(width: int) -> int:
        return (world.size + 1) * width + (width + 1) * width + (width + 1) * outputs

    return min(range(4, 512), key=lambda width: abs(size(width) - num_parameters))


def train(
    overrides: list[str],
    seed: int,
    num_parameters: int,
    limits: Limits,
    show: Callable[[Trial], None],
    *,
    learns: bool = True,
) -> Trial:
    """As `_gym_loop.train`. learns: False for a policy that chooses at random and stays so."""
    config = load_config(CONFIG, overrides)
    world = World(config, seed)
    network = Network(world, config, width_for(num_parameters, world), seed)
    size = sum(weight.numel() for weight in network.body.parameters())
    trial = Trial("plain MLP" if learns else "random", seed, size if learns else 0)
    ended: list[float] = []
    if learns:
        _learn(world, network, trial, ended, limits, show)
    first = len(ended) + 1
    stop = network.num_ticks + limits.max_ticks
    while len(ended) < first + limits.num_episodes and network.num_ticks < stop:
        _step(world, network, ended, explores=not learns)
    trial.returns = ended[first : first + limits.num_episodes]
    world.close()
    return trial


def _learn(
    world: World,
    network: Network,
    trial: Trial,
    ended: list[float],
    limits: Limits,
    show: Callable[[Trial], None],
) -> None:
    started, next_secs = time.process_time(), 0.0
    while trial.cpu_secs < limits.cpu_secs:
        _step(world, network, ended, explores=True)
        network.practise()
        trial.num_ticks, trial.num_steps, trial.num_episodes = (
            network.num_ticks,
            network.num_steps,
            len(ended),
        )
        trial.cpu_secs = time.process_time() - started
        if not ended or network.num_ticks % 100:
            continue
        recent = ended[-NUM_RECENT:]
        median = statistics.median(recent)
        is_enough = len(recent) == NUM_RECENT and median >= limits.enough
        if trial.cpu_secs >= next_secs or is_enough:
            trial.curve.append((trial.cpu_secs, trial.num_ticks, median))
            next_secs = trial.cpu_secs + limits.cpu_secs / 60
            show(trial)
        if is_enough:
            return


def _step(world: World, network: Network, ended: list[float], *, explores: bool) -> None:
    view, reward, reset = world.read()
    network.total = reward if network.was_reset else network.total + reward
    network.was_reset = reset != 0
    if reset and network.num_ticks:
        ended.append(network.total)
    chosen = network.choose(view, explores=explores)
    network.keep(view, chosen, reward, reset)
    world.act(chosen)
