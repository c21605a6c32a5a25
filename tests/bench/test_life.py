"""The bench of nights: differences between arms, its bars, and the loss of dark experience replay."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import _life_teaching
import _life_teaching_lives
import pytest
import torch
from _life_dark import ALPHA, BETA, dark_loss
from _life_teaching import Judged, Life, Night, Scale, folder_name, judge_once, keep_known
from _life_teaching_lives import Lives
from _life_teaching_report import bars_of, difference, differences, table
from _sudoku_ways import Way
from life import FIXTURE_SHA256, SUITES, check_fixture, text_of

from sage.hrm_core.tasks.catalogue import make_task


def _judged(calls_to_solve: list[float], easy: float = 1.0) -> SimpleNamespace:
    solved = sum(map(math.isfinite, calls_to_solve)) / len(calls_to_solve)
    return SimpleNamespace(way=SimpleNamespace(calls_to_solve=calls_to_solve, solved=solved), easy=easy)


def test_a_difference_is_paired_over_puzzles_of_each_seed() -> None:
    better = [_judged([1.0, 2.0, 3.0, math.inf]), _judged([1.0, 2.0, math.inf, math.inf])]
    worse = [_judged([1.0, math.inf, math.inf, math.inf])] * 2
    mean, low, high = difference(better, worse)
    assert mean == pytest.approx(0.375)
    assert low < mean < high
    assert difference(worse, worse) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("suite", SUITES)
def test_a_result_has_the_text_of_its_own_suite_alone(suite: str) -> None:
    text = text_of(suite)
    assert text
    assert "Suite" not in text


def test_bars_are_owed_with_fewer_than_three_seeds() -> None:
    class Lives:
        name = "shipped"
        before = _judged([1.0, math.inf])
        before_long = _judged([1.0, 200.0])

        def last(self, arm: str, seeds: tuple[int, ...]) -> list[SimpleNamespace]:
            return [_judged([1.0, 3.0], easy=0.999)] * len(seeds)

        def seeds_of(self, arm: str, seeds: tuple[int, ...]) -> list[int]:
            return [seed for seed in seeds if (arm, seed) != ("DER++", 3)]

    gaps = {arm: (0.2, 0.1, 0.3) for arm in ("no sleep", "solved only", "DER++")}
    assert all(bar.is_met is None for bar in bars_of(Lives(), gaps, (0, 1)))  # type: ignore[arg-type]
    bars = {bar.name: bar for bar in bars_of(Lives(), gaps, (0, 1, 2))}  # type: ignore[arg-type]
    assert bars["shipped weights, search, at 16 calls"].bar == pytest.approx(0.75)  # half of the gap
    assert all(bar.is_met for bar in bars.values())
    bars = {bar.name: bar.is_met for bar in bars_of(Lives(), gaps, (0, 1, 3))}  # type: ignore[arg-type]
    assert bars.pop("shipped weights, search less DER++, lower bound") is None  # of two common seeds
    assert all(bars.values())


def test_the_first_weights_are_those_that_the_suite_names() -> None:
    check_fixture()
    assert len(FIXTURE_SHA256) == 64


def test_the_dark_loss_has_three_parts() -> None:
    logits = torch.zeros(4, 3, 5)  # two fresh rows, one answered, one dark
    labels = torch.zeros(3, 3, dtype=torch.long)
    target = torch.full((1, 3, 5), 2.0)
    found = float(dark_loss(logits, labels, target, num_fresh=2))
    assert found == pytest.approx((1 + BETA) * math.log(5) + ALPHA * 4.0, rel=1e-5)


def test_a_figure_is_read_from_its_file_until_the_numbers_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def judge(*_: object, calls: int = 16, asked: list[int] = calls) -> Judged:
        asked.append(calls)
        way = Way("search", 2, 0.5, 0.1, 0.9, 0.0, 0.5, 3.0, 9.0, 9.0, 0.1, {16: 0.5}, [2.0, math.inf])
        return Judged(way=way, easy=1.0)

    monkeypatch.setattr(_life_teaching, "judge", judge)
    found = [
        judge_once(tmp_path / "night-1" / "judged.json", "", None, [0, 1], [0], calls=num)  # type: ignore[arg-type]
        for num in (16, 16, 256)
    ]
    assert found[0] == found[1]
    assert calls == [16, 256]


def _figure(solved: float) -> Judged:
    way = Way("search", 2, solved, 0.1, 0.9, 0.0, 0.5, 3.0, 9.0, 9.0, 0.1, {16: solved}, [2.0, math.inf])
    return Judged(way=way, easy=1.0)


def test_the_lives_of_an_earlier_result_are_not_lived_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale = Scale(nights=1, num_eval=2, num_easy=1)
    night = Night(num_found=3, num_solved=2, search_secs=1.0, train_secs=2.0, steps=4)
    results = {
        "scale": asdict(scale),
        "first": {
            "before": _figure(0.1).to_plain(),
            "before_long": _figure(0.2).to_plain(),
            "nights": {"solved only, seed 3": [asdict(night)]},
            "after": {"solved only, seed 3, night 1": _figure(0.5).to_plain()},
        },
    }
    keep_known(json.loads(json.dumps(results)), "first", tmp_path, scale)

    def refuse(*_: object, **__: object) -> Judged:
        raise AssertionError("the figure is known")

    monkeypatch.setattr(_life_teaching, "judge", refuse)
    home = tmp_path / folder_name("solved only", 3)
    puzzles = make_task("sudoku", size=9).held_out(1)
    assert Life("solved only", "", 3, home, puzzles, scale, rate=0.4).live(lambda _: None) == [night]
    asked = [
        ("before.json", 16, 1),
        ("before_long.json", 256, 1),
        (f"{home.name}/night-1/judged.json", 16, 1),
    ]
    found = [
        judge_once(tmp_path / name, "", None, [0, 1], [0] * easy, calls=calls)  # type: ignore[arg-type]
        for name, calls, easy in asked
    ]
    assert [each.way.solved for each in found] == [0.1, 0.2, 0.5]
    with pytest.raises(ValueError, match="scale"):
        keep_known(results, "first", tmp_path, Scale(nights=2))


def test_the_last_night_is_measured_and_others_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(num_found=3, num_solved=2, search_secs=1.0, train_secs=2.0, steps=4)

    class Lived:
        def __init__(self, *_: object, rate: float) -> None: ...

        def model_after(self, number: int) -> str:
            return f"after night {number}"

        def live(self, note: object) -> list[Night]:
            return [night] * 3

    def measured(*, is_every_night: bool) -> list[int]:
        lives = Lives.__new__(Lives)
        lives.name, lives._model, lives._root, lives._scale = "first", "", tmp_path, Scale()
        lives._is_every_night, lives._is_kept_only = is_every_night, False
        lives._puzzles = lives._easy = None  # type: ignore[assignment]
        lives.nights, lives.after = {}, {}
        monkeypatch.setattr(lives, "_judge", lambda *_: _figure(0.5))
        lives.run(["DER++"], [4])
        lives.before = lives.before_long = _figure(0.1)
        rows = table(lives, ["DER++"], [4]).rows
        assert len(rows) == 2 + 3
        assert [row[2] == "-" for row in rows[2:]] == [at not in shown for at in (1, 2, 3)]
        return [number for _, _, number in lives.after]

    monkeypatch.setattr(_life_teaching_lives, "Life", Lived)
    shown: Collection[int] = (3,)
    assert measured(is_every_night=False) == [3]
    earlier = tmp_path / folder_name("DER++", 4) / "night-1" / "judged.json"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("")
    shown = (1, 3)
    assert measured(is_every_night=False) == [1, 3]
    shown = (1, 2, 3)
    assert measured(is_every_night=True) == [1, 2, 3]


def test_kept_lives_are_reported_over_the_seeds_that_arms_have_in_common(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(num_found=3, num_solved=2, search_secs=1.0, train_secs=2.0, steps=4)
    for arm, seed, num in (("search", 0, 3), ("search", 1, 3), ("DER++", 1, 3), ("DER++", 0, 2)):
        for number in range(1, num + 1):
            folder = tmp_path / folder_name(arm, seed) / f"night-{number}"
            folder.mkdir(parents=True)
            (folder / "night.json").write_text(json.dumps(asdict(night)))
            (folder / "judged.json").write_text("")
    lives = Lives.__new__(Lives)
    lives.name, lives._model, lives._root, lives._scale = "first", "", tmp_path, Scale()
    lives._is_every_night, lives._is_kept_only = False, True
    lives._puzzles = make_task("sudoku", size=9).held_out(1)
    lives._easy = lives._puzzles
    lives.nights, lives.after, lives.before = {}, {}, _figure(0.1)
    monkeypatch.setattr(lives, "_judge", lambda *_: _figure(0.5))
    lives.run(["search", "DER++", "labelled"], [0, 1])
    assert list(lives.nights) == [("search", 0), ("search", 1), ("DER++", 1)]
    assert lives.seeds_of("DER++", [0, 1]) == [1]
    assert set(differences(lives, ["search", "DER++", "labelled"], [0, 1])) == {"no sleep", "DER++"}
