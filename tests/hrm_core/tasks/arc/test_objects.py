import numpy as np

from sage.hrm_core.tasks.arc.objects import bounding_box, commonest_colour, components


def test_cells_that_touch_at_a_corner_are_one_object_with_diagonals_only() -> None:
    mask = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    assert components(mask)[1] == 2
    labels, num = components(mask, has_diagonals=True)
    assert num == 1
    assert labels.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_objects_are_numbered_in_reading_order() -> None:
    labels, num = components(np.array([[0, 0, 1], [1, 0, 1], [1, 0, 0]], bool))
    assert (num, labels.tolist()) == (2, [[0, 0, 1], [2, 0, 1], [2, 0, 0]])


def test_the_bounding_box_holds_all_cells_and_is_none_without_cells() -> None:
    mask = np.zeros((4, 5), bool)
    assert bounding_box(mask) is None
    mask[1, 2] = mask[2, 4] = True
    assert bounding_box(mask) == (slice(1, 3), slice(2, 5))


def test_of_equally_common_colours_the_lowest_is_the_commonest() -> None:
    assert commonest_colour(np.array([[5, 3], [3, 5]])) == 3
