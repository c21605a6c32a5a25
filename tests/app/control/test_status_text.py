"""The status as text: one line a fact."""

from __future__ import annotations

from sage.app.control.status_text import as_text

STATUS = {
    **{"is_paused": False, "state": "crisis", "name": "arm", "pid": 7, "sage": "0.1", "tick": 9},
    **{"secs_since_tick": 1.0, "held": {}, "effectors": [], "num_effector_faults": 0},
}


def test_why_the_loop_is_in_a_crisis_is_a_line_of_its_own() -> None:
    reason = "free disk: 900 bytes, at least 1,000 bytes wanted"
    assert f"crisis     {reason}" in as_text({**STATUS, "crisis": reason}).splitlines()
    assert "crisis  " not in as_text({**STATUS, "crisis": ""})


def test_why_the_budget_is_smaller_is_a_line_of_its_own() -> None:
    reason = "power: 14 W, at most 15 W wanted"
    assert f"budget     shrinks: {reason}" in as_text({**STATUS, "budget": reason}).splitlines()
    assert "budget  " not in as_text({**STATUS, "budget": ""})
