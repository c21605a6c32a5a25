"""The client for an address."""

from __future__ import annotations

from sage.errors import InputError
from sage.gr00t_integration.client.contract import PolicyClient
from sage.gr00t_integration.client.openpi_client import OpenpiPolicyClient
from sage.gr00t_integration.client.zmq_client import TIMEOUT_SECS, ZmqPolicyClient
from sage.gr00t_integration.dialects import dialect_named
from sage.gr00t_integration.embodiment import Embodiment


def make_client(
    address: str,
    embodiment: Embodiment,
    *,
    dialect: str = "auto",
    api_token: str | None = None,
    timeout_secs: float = TIMEOUT_SECS,
) -> PolicyClient:
    """A client that connects with its first call. InputError for an address of another form."""
    if address.startswith(("tcp://", "ipc://")):
        return ZmqPolicyClient(
            address,
            embodiment,
            dialect=None if dialect == "auto" else dialect_named(dialect),
            api_token=api_token,
            timeout_secs=timeout_secs,
        )
    if address.startswith(("ws://", "wss://")):
        if dialect != "auto":
            raise InputError(f"dialect is {dialect}: {address} is an openpi server: give auto")
        return OpenpiPolicyClient(address, embodiment, api_token=api_token, timeout_secs=timeout_secs)
    raise InputError(f"address is {address}: give tcp://HOST:PORT or ws://HOST:PORT")
