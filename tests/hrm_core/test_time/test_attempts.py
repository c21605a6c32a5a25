import numpy as np
import torch

from sage.hrm_core.config.fronts import TokenFront
from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.tasks.arc.source import ArcPuzzle, Pair
from sage.hrm_core.tasks.arc.voting import score
from sage.hrm_core.test_time.attempts import TestTimeConfig, TestTimeRun, attempts_of, run_once, two_runs

SMALL = {"hidden_size": 16, "num_heads": 1, "H_layers": 1, "L_layers": 1, "halt_max_segments": 2}


def mapped(*, test_output: int | None = None) -> ArcPuzzle:
    """1 becomes 2 and 3 becomes 4, in grids of 3 x 3."""
    rng, table = np.random.default_rng(5), np.array([0, 2, 2, 4, 4])
    grids = [rng.choice([0, 1, 3], size=(3, 3)).astype(np.int32) for _ in range(4)]
    pairs = [Pair(input=grid, output=table[grid].astype(np.int32)) for grid in grids]
    if test_output is not None:
        pairs[-1] = Pair(input=grids[-1], output=np.full((3, 3), test_output, np.int32))
    return ArcPuzzle(name="map", demonstrations=tuple(pairs[:-1]), tests=tuple(pairs[-1:]))


def test_training_on_the_demonstrations_solves_a_map_of_colours() -> None:
    config = TestTimeConfig(steps=120, num_forms=4, num_segments=2, model=SMALL)
    runs = two_runs(mapped(), config)
    assert [run.turns for run in runs] == [True, False]
    assert all(run.steps == 120 and run.exact > 0.5 for run in runs)
    assert score(attempts_of(runs), [mapped()]) == 1.0


def test_the_output_of_the_test_changes_no_answer() -> None:
    config = TestTimeConfig(steps=4, num_forms=2, num_segments=1, model=SMALL)
    first, second = (run_once(mapped(test_output=each), config, turns=True) for each in (5, 6))
    assert first.grids.keys() == second.grids.keys()
    for test, grids in first.grids.items():
        for ours, theirs in zip(grids, second.grids[test], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_run_from_a_model_leaves_the_model_unchanged() -> None:
    front = TokenFront(vocab_size=12, seq_len=49, positions="none", num_puzzle_ids=5, puzzle_emb_ndim=16)
    start = HRM(ModelConfig.preset("tiny", front=front, **{**SMALL, "mixer": "grid"}))
    with torch.no_grad():
        start.inner.puzzle_emb.weights.normal_()
    before = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    run = run_once(mapped(), TestTimeConfig(steps=3, num_forms=2, num_segments=1), turns=False, start=start)
    assert run.steps == 3
    for name, tensor in start.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_attempts_alternate_between_runs_and_are_different() -> None:
    one, two, three = (np.full((1, 1), each, np.int32) for each in (1, 2, 3))
    test = ("own", 0)

    def run(exact: float, *grids: np.ndarray) -> TestTimeRun:
        return TestTimeRun(turns=True, grids={test: grids}, exact=exact, steps=1, cpu_secs=0.0)

    def found(*runs: TestTimeRun) -> list[int]:
        return [int(grid.item()) for grid in attempts_of(runs)[test]]

    assert found(run(0.5, one, two), run(1.0, three, one)) == [3, 1]
    assert found(run(0.5, one, two), run(1.0, one, three)) == [1, 3]
    assert found(run(float("nan"), one, two)) == [1, 2]
    assert attempts_of([TestTimeRun(turns=True, grids={}, exact=0.0, steps=1, cpu_secs=0.0)]) == {}
