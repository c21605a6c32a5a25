"""A two-joint planar arm learns to reach by advantage-weighted regression with TD(lambda) values, on one CPU
thread.

Three sources observe the arm: its joints, a camera in the hand and one at the shoulder. The reward of a tick
is the distance gained. The only loss is `window_loss`. Prints success and return of uniformly random actions,
of the untrained model and of the trained model; the last line is JSON.

    python examples/reach.py [--iterations 40] [--seed 0]

Invariant: equal seeds give equal results; the only clock measures the run time.
Shapes: B arms, T + 1 ticks of an episode, C = 8 channels of N = 3 sources, A = 2 joints.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass, fields

import torch
from stopping import run_example
from torch import Tensor

from sage import ModelConfig
from sage.hrm_core import ObservationFront, ObservationModel
from sage.hrm_core.model.recurrence import Carry
from sage.hrm_core.observation.action import ExplorationSchedule, TanhGaussian
from sage.hrm_core.observation.loss import LossSettings, ObservationWindow, window_loss
from sage.hrm_core.observation.model import Observation

LINK = 0.5  # m, each of the two
MAX_TURN = 0.25  # rad a tick
SUCCESS_RADIUS = 0.1  # m: a tenth of the arm
EPISODE_TICKS = 24
SOURCE_DIMS = (4, 2, 2)  # joints, the camera in the hand, the camera at the shoulder
WINDOW_TICKS = (
    4  # with a discount of 0.5 later rewards have no weight, and each tick of a window costs a call
)
REWARD_SCALE = 10.0  # progress of 0.1 m is a reward of 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """B arms and their targets: angles (B, 2) in rad, target (B, 2) in m."""

    angles: Tensor
    target: Tensor

    @classmethod
    def draw(cls, num_arms: int, generator: torch.Generator) -> Reach:
        """Any posture; targets at 0.2 to 0.95 m from the shoulder, in any direction."""
        angles = (torch.rand(num_arms, 2, generator=generator) * 2 - 1) * math.pi
        radius = 0.2 + 0.75 * torch.rand(num_arms, 1, generator=generator)
        bearing = (torch.rand(num_arms, 1, generator=generator) * 2 - 1) * math.pi
        return cls(angles=angles, target=radius * torch.cat((bearing.cos(), bearing.sin()), dim=1))

    @property
    def offset(self) -> Tensor:
        """(B, 2): from the tip to the target."""
        first, second = self.angles[:, 0], self.angles.sum(1)
        tip = LINK * torch.stack((first.cos() + second.cos(), first.sin() + second.sin()), dim=1)
        return self.target - tip

    @property
    def distance(self) -> Tensor:
        distance: Tensor = torch.linalg.vector_norm(self.offset, dim=1)  # (B,)
        return distance

    @property
    def channels(self) -> Tensor:
        """(B, 8): cos and sin of both joints; offset in the forearm's frame; cos and sin of the target's
        bearing off the tip.
        """
        first, bearing = self.angles[:, 0], self.angles.sum(1)
        (x, y), tip = self.offset.unbind(1), self.target - self.offset
        along, across = bearing.cos() * x + bearing.sin() * y, bearing.cos() * y - bearing.sin() * x
        aside = torch.atan2(self.target[:, 1], self.target[:, 0]) - torch.atan2(tip[:, 1], tip[:, 0])
        return torch.stack(
            (
                first.cos(),
                first.sin(),
                self.angles[:, 1].cos(),
                self.angles[:, 1].sin(),
                along,
                across,
                aside.cos(),
                aside.sin(),
            ),
            1,
        )

    def step(self, action: Tensor) -> Reach:
        return Reach(angles=self.angles + MAX_TURN * action, target=self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Episodes:
    """A batch of whole episodes: their window, the share that succeeded, the mean return."""

    window: ObservationWindow
    carries: tuple[Carry, ...]  # before each tick
    success: float
    mean_return: float


def build_model(seed: int) -> ObservationModel:
    config = ModelConfig.preset(
        "loop",
        front=ObservationFront(source_dims=SOURCE_DIMS, num_actions=2),
        hidden_size=32,
        mlp_multiple=32,
        H_cycles=1,
        gradient="full",
    )
    return ObservationModel(config, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def run_episodes(
    model: ObservationModel,
    num_arms: int,
    generator: torch.Generator,
    *,
    std: float | None,
    is_random: bool = False,
) -> Episodes:
    """One episode of each arm: actions at the policy's mode (std None), around it, or uniformly at random."""
    world, carry = Reach.draw(num_arms, generator), model.initial_carry(num_arms)
    before = world.channels
    reward = torch.full((num_arms,), torch.nan)
    ticks: list[dict[str, Tensor]] = []
    carries = []
    for _ in range(EPISODE_TICKS + 1):
        carries.append(carry)
        observation = observe(world, before)
        carry, output = model(carry, observation)
        assert output.action_mean is not None
        policy = TanhGaussian(
            mean=output.action_mean, log_std=torch.full_like(output.action_mean, math.log(std or 1.0))
        )
        action = policy.mode if std is None else policy.sample(generator)
        if is_random:
            action = torch.rand(num_arms, 2, generator=generator) * 2 - 1
        ticks.append(
            {
                **{field.name: getattr(observation, field.name) for field in fields(Observation)},
                "action": action,
                "reward": reward,
            }
        )
        before, moved = world.channels, world.step(action)
        reward = REWARD_SCALE * (world.distance - moved.distance)
        last, world = world, moved
    stacked = {name: torch.stack([tick[name] for tick in ticks], dim=1) for name in ticks[0]}
    return Episodes(
        window=ObservationWindow(**stacked, z_H=carries[0].z_H, z_L=carries[0].z_L),
        carries=tuple(carries),
        success=float((last.distance < SUCCESS_RADIUS).float().mean()),
        mean_return=float(stacked["reward"][:, 1:].sum(1).mean()),
    )


def observe(world: Reach, before: Tensor) -> Observation:
    """All sources present, fresh and fully trusted; no linear skip, no cross-source estimate."""
    values = world.channels
    yes = torch.ones(values.shape[0], len(SOURCE_DIMS), dtype=torch.bool)
    zero = torch.zeros_like(values)
    return Observation(
        values=values, deltas=values - before, skip=zero, cross=zero, present=yes, fresh=yes,
        age_secs=torch.zeros(yes.shape), weight=torch.ones(yes.shape),
    )  # fmt: skip


def cut(episodes: Episodes) -> list[ObservationWindow]:
    """Windows of WINDOW_TICKS transitions, each with its initial carry."""
    window, windows = episodes.window, []
    for first in range(0, EPISODE_TICKS, WINDOW_TICKS):
        part = {
            field.name: getattr(window, field.name)[:, first : first + WINDOW_TICKS + 1]
            for field in fields(window)
            if field.name not in ("z_H", "z_L") and getattr(window, field.name) is not None
        }
        windows.append(
            ObservationWindow(**part, z_H=episodes.carries[first].z_H, z_L=episodes.carries[first].z_L)
        )
    return windows


def sample(replay: list[ObservationWindow], num_rows: int, generator: torch.Generator) -> ObservationWindow:
    """Rows drawn uniformly from the replay, with replacement."""
    size = replay[0].values.shape[0]
    picks = torch.randint(len(replay) * size, (num_rows,), generator=generator).tolist()
    return ObservationWindow(
        **{
            f.name: torch.stack([getattr(replay[i // size], f.name)[i % size] for i in picks])
            for f in fields(ObservationWindow)
            if getattr(replay[0], f.name) is not None
        }
    )


def train(
    model: ObservationModel,
    *,
    num_iterations: int,
    generator: torch.Generator,
    num_arms: int = 64,
    num_updates: int = 12,
    replay_size: int = 24,
    learning_rate: float = 4e-3,
) -> None:
    """Run episodes, cut them into windows, add these to the replay, update; num_iterations times.

    replay_size: batches of windows in the replay; 24 are four iterations, because regression on much older
    actions pulls the policy back to the one that produced them. A temperature of 1 in standardised advantages
    leaves an effective sample of 1/e of a batch; 0.5 leaves 1/e^4.
    """
    settings = LossSettings(halt=0.0, action=0.3, discount=0.5, trace=0.8, temperature=1.0, limit=10.0)
    schedule = ExplorationSchedule(first=0.8, last=0.3, num_steps=num_iterations)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    num_steps = num_iterations * num_updates
    anneal = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, max(0.03, 2.5 * (1.0 - step / num_steps)))
    )
    replay: list[ObservationWindow] = []
    for iteration in range(num_iterations):
        replay = [*replay, *cut(run_episodes(model, num_arms, generator, std=schedule.std(iteration)))][
            -replay_size:
        ]
        for _ in range(num_updates):
            batch = sample(replay, num_arms, generator)
            loss, _ = window_loss(
                model,
                batch,
                burn_in=0,
                num_segments=1,
                mask_probability=0.0,
                generator=generator,
                settings=settings,
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            anneal.step()


def examine(model: ObservationModel, seed: int, *, is_random: bool = False) -> Episodes:
    """512 arms, each with its own target, without exploration."""
    return run_episodes(model, 512, torch.Generator().manual_seed(seed), std=None, is_random=is_random)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = build_model(options.seed)
    results = {"random": examine(model, 1000, is_random=True), "untrained": examine(model, 1000)}
    started = time.process_time()
    train(model, num_iterations=options.iterations, generator=torch.Generator().manual_seed(options.seed))
    cpu_secs = time.process_time() - started
    results["trained"] = examine(model, 1000)
    print(
        f"{'policy':<10} {'success':>8} {'return':>8}   (within {SUCCESS_RADIUS} m after {EPISODE_TICKS}"
        " ticks, 512 arms)"
    )
    for name, episodes in results.items():
        print(f"{name:<10} {episodes.success:>8.3f} {episodes.mean_return:>8.2f}")
    print(f"{options.iterations} iterations, {cpu_secs:.1f} CPU seconds")
    scores = {
        name: {"success": round(e.success, 4), "return": round(e.mean_return, 3)}
        for name, e in results.items()
    }
    print(
        json.dumps(
            {
                "example": "reach",
                "seed": options.seed,
                "iterations": options.iterations,
                "cpu_secs": round(cpu_secs, 1),
                **scores,
            }
        )
    )


if __name__ == "__main__":
    run_example(main)
