"""New figures in the package's colours, and saving them.

Invariant: no global state (no pyplot, no backend); equal data give equal files.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from sage.app.terminal.errors import UserError
from sage.durable import replacing

INK, PAPER, MUTED, RULE = "#1c1f23", "#ffffff", "#8a9099", "#d5d9de"
BLUE, RED, GREEN, ORANGE, VIOLET = "#1f6fb2", "#c8372d", "#2c8a4b", "#d9822b", "#7a4fa3"
TONES = (BLUE, ORANGE, GREEN, VIOLET, RED, MUTED)
FORMATS = (".png", ".svg", ".pdf")
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "sage",
}


def new_figure(rows: int, cols: int, *, width: float, height: float) -> tuple[Any, Any]:
    """(figure, axes (rows, cols)); width and height in inches. Raises UserError without matplotlib."""
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
        figures: Any = importlib.import_module("matplotlib.figure")
    except ImportError:
        raise UserError("plot: matplotlib is not installed: pip install 'sage-runtime[viz]'") from None
    with matplotlib.rc_context(_STYLE):
        figure = figures.Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)
        return figure, figure.subplots(rows, cols, squeeze=False)


def set_title(axis: Any, text: str, size: float = 10) -> None:
    axis.set_title(text, loc="left", fontsize=size)


def set_legend(axis: Any) -> None:
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=8)


def save_figure(figure: Any, path: Path) -> Path:
    """Write `figure` in the format of the suffix. Raises UserError for another suffix or a path that cannot
    be written.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: give a file that ends in {', '.join(FORMATS)}")
    # Without a date and with constant ids, equal figures give equal files.
    metadata = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[
        path.suffix
    ]
    matplotlib: Any = importlib.import_module("matplotlib")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(_STYLE), replacing(path) as partial:
            figure.savefig(partial, format=path.suffix[1:], dpi=144, metadata=metadata)
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}: give another --out") from error
    return path
