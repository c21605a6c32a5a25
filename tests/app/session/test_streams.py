"""Puzzle environments of a configuration as streams: their models, weights and learners."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from sage.app.config.sage_config import SageConfig, build_config, load_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.session import streams
from sage.app.session.build import build_run
from sage.app.terminal.errors import UserError
from sage.errors import InputError
from sage.mailbox.clock import Clock, ManualClock, RealClock
from sage.runtime.sleep.puzzles.inline import InlineLearner
from sage.runtime.sleep.puzzles.process.learner import ProcessLearner
from sage.runtime.solving.learner import PuzzleExperience, SolutionSource

RULE = {"decision": "allow", "effect": "cognitive", "states": ["wake", "focus", "rest", "dream"]}

#: A real puzzle that the shipped 9x9 model solves by a search of 12 calls, not at the first try.
HARD = ".3...2..4..2....7...49...5..6..5....48..1..6...3..6..83....4..6.......9....1..7.."


def config(levels: Sequence[dict[str, object]] = ({"size": 4},), task: str = "sudoku", **solving: object):
    levels = [{"task": task, "options": options} for options in levels]
    data = {
        "sensors": [{"kind": "synthetic", "name": "s"}],
        "environments": [{"kind": "puzzles", "name": "riddles", "levels": levels}],
        "policy": {"rules": [RULE]},
        "solving": solving,
    }
    return build_config(YamlDocument(data=data, source="test.yaml"))


def built(settings: SageConfig, tmp_path: Path, clock: Clock | None = None):
    return build_run(settings, clock or ManualClock(), directory=tmp_path / "sleep")


@pytest.mark.parametrize(("clock", "kind"), [(ManualClock, InlineLearner), (RealClock, ProcessLearner)])
def test_the_learner_is_in_a_process_of_its_own_on_a_real_clock(tmp_path, clock, kind):
    run = built(config(), tmp_path, clock())
    try:
        (solver,) = run.loop.solving.solvers
        assert isinstance(solver.learner, kind)
        assert [level.name for level in solver.levels] == ["sudoku 4x4"]
        assert len(solver.levels[0].examples(8)) == 8
    finally:
        run.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"search": 8}, "asks_rules"),
        (
            {"search_levels": ["sudoku 4x5"]},
            "solving.search_levels has 'sudoku 4x5'.*did you mean sudoku 4x4",
        ),
        ({"weights": "sudoku99"}, "did you mean sudoku9"),
        ({"preset": "nothing"}, "environments.riddles: preset is 'nothing'"),
        ({"weights": "maze10"}, "environments.riddles: solving.weights is maze10"),
        ({"task": "maze", "weights": "sudoku4", "levels": ({"size": 6, "difficulty": "easy"},)}, "interch"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(tmp_path, settings, message):
    with pytest.raises(UserError, match=message) as raised:
        built(config(**settings), tmp_path)
    assert "\n" not in str(raised.value)


def test_the_life_of_sudokus_ends_with_real_hard_ones_that_are_searched(tmp_path: Path) -> None:
    (tmp_path / "hard.txt").write_text(HARD + "\n")
    settings = load_config(
        "sudoku",
        [
            f"environments.graded.levels.4.file={tmp_path / 'hard.txt'}",
            "environments.graded.first_level=4",
            "solving.weights=sudoku9",
        ],
    )
    clock = ManualClock()
    run = built(settings, tmp_path, clock)
    (solver,) = run.loop.solving.solvers
    experiences: list[PuzzleExperience] = []
    solver.learner.note = experiences.extend
    run.open()
    try:
        while run.loop.tick_count < 400 and not any(each.level == 4 for each in experiences):
            run.loop.tick()
            clock.advance(50_000_000)
    finally:
        run.close()
    (found,) = [each for each in experiences if each.level == 4][:1]
    assert solver.levels[4].name == "sudoku 9x9 hard"
    assert found.source is SolutionSource.VERIFIED
    assert found.num_calls > 1
    assert set(settings.solving.search_levels) == {"sudoku 9x9 hard"}
    assert settings.solver_training.night_calls > settings.solving.search


def test_a_task_without_a_name_is_learned_in_the_loops_process(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(streams, "address_for", _no_address)
    run = built(config(), tmp_path, RealClock())
    try:
        assert isinstance(run.loop.solving.solvers[0].learner, InlineLearner)
        (line,) = [record.getMessage() for record in caplog.records if "trainer" in record.getMessage()]
        assert line.startswith("riddles: the task of sudoku 4x4 has no name and plain options")
    finally:
        run.close()


def _no_address(name, options):
    raise InputError(f"task {name}: its options are no plain values")
