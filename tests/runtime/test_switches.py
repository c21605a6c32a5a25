"""Parts of the loop that are switched off for comparison: trust, memory, the recurrent model."""

from __future__ import annotations

import numpy as np
import pytest

from sage.app.terminal.errors import UserError
from sage.runtime.sleep.between_ticks import gather_night


def test_parts_that_are_off_have_no_effect_and_the_others_go_on(start, settings):
    small = {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1}
    memory = {"write_rate": 0.5, "num_experiences": 64, "num_transitions": 128, "enabled": False}
    off = settings(model={"kind": "linear"} | small, trust={"enabled": False}, memory=memory)
    run = start(off)
    run.loop.run(num_ticks=240)
    facts = run.loop.tick().facts
    loop = run.loop
    assert [source.trust for source in facts.sources] == [1.0] * 3
    assert np.isfinite(loop.trust.nis[:2]).all()
    assert loop.trust.state()["alpha"][0] != 9.0  # the evidence is still counted
    assert facts.memory.num_kept == 0
    assert len(loop.memory_writer.memory.recall_store) == 0
    assert gather_night(loop.memory_writer.memory, loop.reasoner.model) is None
    assert facts.memory.num_transitions == 128
    assert facts.learning.num_practice_steps > 10
    assert not loop.reasoner.model.nets


def test_a_linear_model_cannot_train_an_h_net(settings):
    with pytest.raises(UserError, match=r"practice\.trains is H: model\.kind linear has no H net"):
        settings(model={"kind": "linear"}, practice={"trains": "H"})
