"""Packages of the extra `groot`, imported when they are used."""

from __future__ import annotations

from typing import Any

from sage.sensors.contract import SensorUnavailable

_REMEDY = "pip install 'sage-runtime[groot]'"


def load_zmq() -> Any:
    """The module; SensorUnavailable with the pip command where it is not installed."""
    try:
        import zmq
    except ImportError as error:
        raise SensorUnavailable(f"pyzmq is not installed: {_REMEDY}") from error
    return zmq


def load_websockets() -> Any:
    """websockets with its threaded client and server; as `load_zmq`."""
    try:
        import websockets
        import websockets.sync.client
        import websockets.sync.server
    except ImportError as error:
        raise SensorUnavailable(f"websockets is not installed: {_REMEDY}") from error
    return websockets
