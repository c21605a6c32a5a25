"""Small instances of the ring's model (implementation/models): the protocol holds, each broken variant does
not.
"""

import pytest


@pytest.fixture
def model(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "implementation" / "models"))
    return pytest.importorskip("ring")


def test_two_producers_two_laps_and_a_death_anywhere_break_nothing(model):
    found = model.explore(
        model.Instance(scripts=((2,), (1,)), num_cells=1, num_lane_slots=3, max_kills=1, successor=())
    )
    assert found.violation is None
    assert found.num_states > 1_000
    assert found.num_final > 10


@pytest.mark.parametrize(
    ("scripts", "capacity", "joins_late", "max_kills"),
    [
        (((1, 1), (1,)), 1, False, 1),
        (((2,), (1,)), 2, False, 0),
        (((1, 1), (1,)), 1, True, 0),
    ],
)
def test_a_lossless_ring_loses_and_overwrites_nothing(model, scripts, capacity, joins_late, max_kills):
    found = model.explore(
        model.Instance(
            scripts=scripts,
            capacity=capacity,
            joins_late=joins_late,
            max_kills=max_kills,
            num_lane_slots=2 * capacity,
            successor=(),
        )
    )
    assert found.violation is None
    assert found.num_states > 1_000
    assert found.num_final > 0


@pytest.mark.parametrize(
    "variant",
    [
        "load index, write, increment",
        "link before payload",
        "number after sequence",
        "no second look",
        "reach of a whole lane",
        "written before the tail moved",
        "no help",
        "no lap in the order word",
        "number used again",
        "loss counted in order words",
        "room checked with an older tail",
        "floor of an earlier subscriber list",
        "cursor moved before the copy",
        "began at the tail read before the join",
    ],
)
def test_the_model_finds_each_broken_variant(model, variant):
    found = model.explore(model.breaking(variant))
    assert found.violation is not None
    assert found.trail


def test_every_variant_is_tested(model):
    assert set(model.VARIANTS) == set(model.SMALLEST_BREAKING)
    assert len(model.VARIANTS) == 14
