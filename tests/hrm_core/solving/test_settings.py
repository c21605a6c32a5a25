"""A setting that cannot be run is refused where it is made, with its name, its value and the remedy."""

from __future__ import annotations

from typing import Any

import pytest

from sage.hrm_core.solving.settings import USUAL, SolveSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_segments", 0),
        ("max_segments", 2.0),
        ("max_segments", True),
        ("max_segments", 10**6),
        ("tries", 0),
        ("tries", "4"),
        ("halt", "sometimes"),
        ("halt", None),
        ("noise_std", 0),
        ("noise_std", float("nan")),
        ("noise_std", "0.3"),
        ("start_std", 0),
        ("start_std", 11),
        ("variation", "both"),
        ("pick", "loss"),
        ("seed", -1),
        ("seed", 2**63),
        ("seed", 1.5),
        ("abstains", 1),
        ("min_confidence", 1),
        ("min_confidence", -0.1),
        ("min_confidence", True),
        ("search", -1),
        ("search", 1.0),
        ("search", 10**6),
        ("search_segments", 0),
        ("search_seconds", 10**400),
        ("search_width", 0),
        ("search_seconds", 0),
        ("search_seconds", float("inf")),
        ("search_seconds", "5"),
        ("branching", "first"),
        ("scorer", "none"),
        ("conflict_weight", -1),
    ],
)
def test_a_wrong_value_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name} is .*: give "):
        SolveSettings(**{name: value})


def test_changes_make_a_copy() -> None:
    assert USUAL.changed(tries=3) == SolveSettings(tries=3)
    assert SolveSettings() == USUAL
