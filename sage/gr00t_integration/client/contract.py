"""What a client of a policy server does, whatever the protocol, and how it fails.

Invariant: no method waits longer than its time limit, and what `infer` returns has passed the checks.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sage.errors import SageError
from sage.gr00t_integration.observation import Observation


class PolicyFailure(SageError):
    """A policy server did not answer, or its answer cannot be used. The next call connects anew."""


class PolicyTimeout(PolicyFailure):
    """No answer within the time limit."""


class PolicyRefusal(PolicyFailure):
    """The server answered with an error. Its text may be empty."""


class ClientStopped(PolicyFailure):
    """`close` was called during a request."""


class PolicyClient(Protocol):
    """One connection to one server. A call connects when there is no connection; calls of several threads
    are made one after another.
    """

    @property
    def address(self) -> str: ...

    @property
    def about(self) -> str:
        """What is at the other end, for people: the dialect or the server's own words."""
        ...

    def infer(self, observation: Observation) -> dict[str, np.ndarray]:
        """name -> (B, horizon, D) float32, finite, of the embodiment. Raises PolicyFailure."""
        ...

    def reset(self) -> None:
        """Begin an episode. Does nothing where the server has no such endpoint."""
        ...

    def stop(self) -> None:
        """End a call in progress and refuse later ones. From any thread."""
        ...

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        ...
