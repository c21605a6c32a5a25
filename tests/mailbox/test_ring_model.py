"""A small instance of the model of implementation/models: the protocol holds, and each broken variant is
found out.
"""

import pytest


@pytest.fixture
def model(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "implementation" / "models"))
    return pytest.importorskip("ring")


def test_two_producers_two_laps_and_a_death_anywhere_break_nothing(model):
    found = model.explore(model.Instance(scripts=((2,), (1,)), num_cells=1, max_kills=1, successor=()))
    assert found.violation is None
    assert found.num_states > 1_000
    assert found.num_final > 10


@pytest.mark.parametrize(
    "variant",
    [
        "load index, write, increment",
        "link before payload",
        "generation after payload",
        "no second look",
        "no help",
        "no lap in the order word",
        "generation used again",
        "loss counted in order words",
    ],
)
def test_a_broken_variant_is_found_out(model, variant):
    assert variant in model.VARIANTS
    found = model.explore(model.breaking(variant))
    assert found.violation is not None
    assert found.trail
