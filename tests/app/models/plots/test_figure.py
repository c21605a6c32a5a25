"""Equal figures give equal files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the extra viz is not installed")

from sage.app.models.plots.figure import save_figure
from sage.app.models.plots.training import draw_halting
from sage.app.terminal.errors import UserError


def test_the_same_data_give_the_same_file(tmp_path: Path) -> None:
    for ending in (".png", ".svg"):
        for name in ("a", "b"):
            save_figure(
                draw_halting(np.array([1, 2]), np.array([True, False]), 2), tmp_path / f"{name}{ending}"
            )
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
    with pytest.raises(UserError, match=r"ends in \.png"):
        save_figure(draw_halting(np.array([1, 2]), np.array([True, False]), 2), tmp_path / "a.gif")
