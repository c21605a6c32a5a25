"""Observations of shipped embodiments, small, with random content; and servers on the loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from sage.gr00t_integration.dialects import dialect_named
from sage.gr00t_integration.embodiment import Embodiment, load_embodiment
from sage.gr00t_integration.observation import Observation
from sage.gr00t_integration.server.policies import ScriptedPolicy
from sage.gr00t_integration.server.service import PolicyService, ServiceOptions
from sage.gr00t_integration.server.zmq_server import ZmqPolicyServer

Observe = Callable[..., Observation]


@pytest.fixture
def so100() -> Embodiment:
    return load_embodiment("so100")


@pytest.fixture
def observe() -> Observe:
    """Makes an observation of an embodiment, with images of 6 x 8 pixels."""

    def make(embodiment: Embodiment, batch_size: int = 1, seed: int = 0) -> Observation:
        random = np.random.default_rng(seed)
        frames, states = len(embodiment.video.delta_indices), len(embodiment.state.delta_indices)
        return Observation(
            video={
                view: random.integers(0, 256, (batch_size, frames, 6, 8, 3), dtype=np.uint8)
                for view in embodiment.video.views
            },
            state={
                name: random.standard_normal((batch_size, states, dim), dtype=np.float32)
                for name, dim in embodiment.state.dims.items()
            },
            language={embodiment.language: [["pick up the cube"]] * batch_size},
        )

    return make


class Running:
    """A server of `answer` (bytes to bytes) on a thread of its own, on a free port of the loopback."""

    def __init__(self, service: Any, address: str = "tcp://127.0.0.1:*") -> None:
        self.service = service
        self.server = ZmqPolicyServer(service, address)
        self.address = self.server.address
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.server.stop()
        self._thread.join(10)

    def wait_ended(self) -> bool:
        self._thread.join(10)
        return not self._thread.is_alive()

    def _run(self) -> None:
        with self.server:
            self.server.run()


class Answers:
    """A service that answers each request with what a function of it returns: for servers with faults."""

    is_ended = False

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    """Starts servers that are stopped at the end of the test.

    `serve(embodiment, dialect="n1.7")` for a scripted policy, `serve(answer=function)` for any replies.
    """
    running: list[Running] = []

    def start(
        embodiment: Embodiment | None = None,
        dialect: str = "n1.7",
        *,
        answer: Callable[[bytes], bytes] | None = None,
        address: str = "tcp://127.0.0.1:*",
        policy: Any = None,
        **options: Any,
    ) -> Running:
        service: Any
        if answer is not None:
            service = Answers(answer)
        else:
            assert embodiment is not None
            service = PolicyService(
                policy or ScriptedPolicy(embodiment),
                embodiment,
                dialect_named(dialect),
                ServiceOptions(**options),
            )
        running.append(Running(service, address))
        return running[-1]

    yield start
    for each in running:
        each.stop()
