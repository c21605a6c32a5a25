from sage.sensors.environments.puzzles.grading import DOWN_AFTER, UP_OF, Grading


def answered(grading: Grading, level: int, results: list[bool]) -> list[bool]:
    return [grading.note(level, is_right=is_right) for is_right in results]


def test_it_moves_up_at_48_right_of_the_last_50_and_not_before() -> None:
    grading = Grading(2, first=0, seed=0)
    assert not any(answered(grading, 0, [False] * 3 + [True] * 47))
    assert grading.note(0, is_right=True)
    assert grading.current == 1


def test_it_does_not_move_up_within_fewer_than_50_answers() -> None:
    grading = Grading(2, first=0, seed=0)
    assert not any(answered(grading, 0, [True] * (UP_OF - 1)))
    assert grading.note(0, is_right=True)


def test_it_moves_down_only_after_500_answers_and_below_30_percent() -> None:
    grading = Grading(2, first=1, seed=0)
    assert not any(answered(grading, 1, [False] * (DOWN_AFTER - 1)))
    assert grading.note(1, is_right=False)
    assert grading.current == 0
    better = Grading(2, first=1, seed=0)
    assert not any(answered(better, 1, ([True] * 3 + [False] * 7) * (DOWN_AFTER // 10 + 10)))


def test_answers_of_other_levels_do_not_count() -> None:
    grading = Grading(3, first=1, seed=0)
    assert not any(answered(grading, 0, [True] * 100))
    assert grading.current == 1


def test_a_move_starts_the_count_again() -> None:
    grading = Grading(3, first=0, seed=0)
    answered(grading, 0, [True] * UP_OF)
    assert not any(answered(grading, 1, [True] * (UP_OF - 1)))
    assert grading.note(1, is_right=True)


def test_the_highest_and_the_lowest_level_are_kept() -> None:
    top, bottom = Grading(1, first=0, seed=0), Grading(2, first=0, seed=0)
    assert not any(answered(top, 0, [True] * 100))
    assert not any(answered(bottom, 0, [False] * 600))


def test_every_fifth_puzzle_is_from_an_earlier_level_chosen_by_the_seed() -> None:
    grading = Grading(3, first=2, seed=7)
    levels = [grading.level_of(number) for number in range(200)]
    assert levels.count(2) == 160
    assert {0, 1} == set(levels) - {2}
    assert levels == [Grading(3, first=2, seed=7).level_of(number) for number in range(200)]
    assert {Grading(3, first=0, seed=7).level_of(number) for number in range(20)} == {0}
