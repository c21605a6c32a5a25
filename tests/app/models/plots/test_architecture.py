"""The architecture is read from the model; the flow has one dot per computed call."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the extra viz is not installed")

from sage.app.models.plots.architecture import count_parameters, draw_architecture, draw_flow
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.trajectory import record_trajectory, step_sizes

FRONT = TokenFront(vocab_size=6, seq_len=16, positions="learned")


def model(**changes: object) -> HRM:
    config = {"mixer": "attention", "H_cycles": 2, "L_cycles": 3, "shares_nets": False, **changes}
    return HRM(ModelConfig.preset("tiny", front=FRONT, **config))


@pytest.mark.parametrize("shares_nets", [True, False])
def test_every_parameter_is_counted_once(shares_nets: bool) -> None:
    counted = count_parameters(model(shares_nets=shares_nets))
    assert sum(counted.values()) == sum(each.numel() for each in model(shares_nets=shares_nets).parameters())
    assert ("H" in counted) != shares_nets
    assert "other" not in counted


def test_the_architecture_has_the_sizes_and_cycles_of_the_model() -> None:
    (axis,) = draw_architecture(model()).axes
    assert "2 x (3 L calls and 1 H call)" in axis.get_title(loc="left")
    texts = "\n".join(text.get_text() for text in axis.texts)
    for expected in (
        "16 cells of 6 symbols",
        "width 32",
        "6 logits per cell",
        "z_L, after 3 L calls",
        "Q head",
    ):
        assert expected in texts


def test_the_flow_has_one_dot_per_call_and_the_step_of_each() -> None:
    trajectory = record_trajectory(model(), np.full((2, 16), 3, np.int32), num_segments=2)
    flow, steps = draw_flow(trajectory).axes
    rows = [float(dot.get_offsets()[0][1]) for dot in flow.collections]
    assert rows == [0.0, 0.0, 0.0, 1.0] * 4
    drawn = {
        line.get_label(): line.get_ydata() for line in steps.get_lines() if line.get_label().startswith("z_")
    }
    assert drawn["z_H"][1:] == pytest.approx(step_sizes(trajectory.z_H))
    assert drawn["z_L"][1:] == pytest.approx(step_sizes(trajectory.z_L))


def test_a_long_flow_is_cut_after_whole_segments() -> None:
    trajectory = record_trajectory(model(), np.full((1, 16), 3, np.int32), num_segments=3)
    flow, _ = draw_flow(trajectory, num_shown=20).axes
    assert len(flow.collections) == 16
    assert "over 2 segments" in flow.get_title(loc="left")
