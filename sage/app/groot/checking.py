"""`sage groot check`: a policy server against an embodiment."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sage.gr00t_integration.client.connect import make_client
from sage.gr00t_integration.embodiment import Embodiment
from sage.gr00t_integration.observation import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """about: the dialect, or the server's own words.  latency_ms: of each request.
    is_within: every number of every chunk is within the embodiment's ranges.
    """

    address: str
    embodiment: str
    about: str
    horizon: int
    size: int
    latency_ms: tuple[float, ...]
    is_within: bool

    def lines(self) -> list[str]:
        ordered = sorted(self.latency_ms)
        within = "within" if self.is_within else "NOT within"
        return [
            f"{self.address}: good: {self.about}, {self.embodiment}",
            f"chunks of {self.horizon} steps of {self.size} numbers, {within} the embodiment's ranges",
            f"latency of {len(ordered)} requests: {ordered[len(ordered) // 2]:.1f} ms median,"
            f" {ordered[-1]:.1f} ms highest",
        ]

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def check_server(
    address: str,
    embodiment: Embodiment,
    *,
    dialect: str = "auto",
    api_token: str | None = None,
    timeout_secs: float = 15.0,
    num_requests: int = 5,
    seed: int = 0,
) -> ServerFacts:
    """Reset the server, then ask for actions with random observations. PolicyFailure with what is wrong."""
    client = make_client(address, embodiment, dialect=dialect, api_token=api_token, timeout_secs=timeout_secs)
    random = np.random.default_rng(seed)
    latency, chunks = [], []
    try:
        client.reset()
        for _ in range(num_requests):
            observation = _observation(embodiment, random)
            started = time.perf_counter()
            chunks.append(embodiment.joined(client.infer(observation)))
            latency.append((time.perf_counter() - started) * 1e3)
        about = client.about
    finally:
        client.close()
    low = np.array(embodiment.action_low, dtype=np.float32)
    high = np.array(embodiment.action_high, dtype=np.float32)
    values = np.concatenate(chunks)
    return ServerFacts(
        address=address,
        embodiment=embodiment.name,
        about=about,
        horizon=embodiment.action.horizon,
        size=embodiment.action_size,
        latency_ms=tuple(latency),
        is_within=bool(((values >= low) & (values <= high)).all()),
    )


def _observation(embodiment: Embodiment, random: np.random.Generator) -> Observation:
    video, state = embodiment.video, embodiment.state
    return Observation(
        video={
            view: random.integers(0, 256, (1, len(video.delta_indices), *size, 3), dtype=np.uint8)
            for view, size in video.views.items()
        },
        state={
            name: random.uniform(-0.5, 0.5, (1, len(state.delta_indices), dim)).astype(np.float32)
            for name, dim in state.dims.items()
        },
        language={embodiment.language: [["a check"]]},
    )
