"""Packages that data sets need, imported when they are used."""

from __future__ import annotations

from typing import Any

from sage.sensors.contract import SensorUnavailable


def load_pyarrow() -> tuple[Any, Any]:
    """pyarrow and pyarrow.parquet; SensorUnavailable with the pip command where they are not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise SensorUnavailable("pyarrow is not installed: pip install 'sage-runtime[parquet]'") from error
    return pyarrow, pyarrow.parquet


def load_av() -> Any:
    """PyAV; as `load_pyarrow`."""
    try:
        import av
    except ImportError as error:
        raise SensorUnavailable("av is not installed: pip install 'sage-runtime[sensors]'") from error
    return av
