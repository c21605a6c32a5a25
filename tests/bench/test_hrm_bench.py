"""The benchmark of HRM: the plain forwards are ours in numbers, the bars follow from the times, and owed ones
are owed.
"""

from __future__ import annotations

from dataclasses import replace

import harness
import pytest
import torch
from _hrm_lines import BY_KERNELS, BY_TORCH, lines_tables, step_of, trained
from _hrm_memory import OURS_BF16, REFERENCE_FP32
from _hrm_mixer import PlainMixer
from _hrm_models import batch_of, reference_of
from _hrm_report import make_bars, tables
from _hrm_rounds import Timing, speedup, take_turns
from _hrm_segments import OURS_COMPILED, SegmentRow, scaled
from _hrm_solve import OURS, REFERENCE, Solved
from _hrm_training import ReferenceTrainer, our_step, stablemax_loss

from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.config.presets import preset_settings
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.model.losses import log_stablemax


def small_hrm() -> HRM:
    """hrm-27m at an eighth of its width."""
    front = replace(preset_settings("hrm-27m")["front"], puzzle_emb_ndim=64)
    return HRM(
        ModelConfig.preset("hrm-27m", front=front, hidden_size=64, num_heads=1, H_layers=1, L_layers=1)
    ).eval()


def cells(num_rows: int, num_cells: int, num_symbols: int) -> torch.Tensor:
    return torch.randint(
        1, num_symbols, (num_rows, num_cells), generator=torch.Generator().manual_seed(3), dtype=torch.int32
    )


@torch.inference_mode()
def test_the_plain_forward_is_ours_bit_for_bit_in_fp32() -> None:
    model, inputs = small_hrm(), cells(3, 81, 11)
    reference = reference_of(model, torch.float32)
    carry, (z_H, z_L) = model.initial_carry(3), reference.start(3)
    for _ in range(2):
        carry, output = model.segment(carry, batch_of(inputs))
        z_H, z_L, logits, q = reference.segment(z_H, z_L, inputs)
    torch.testing.assert_close(logits, output.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        q, torch.stack((output.q_halt, output.q_continue), dim=-1), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(("preset", "changes"), [("small", {}), ("sudoku", {"box": (2, 2)})])
@torch.inference_mode()
def test_the_plain_mixer_is_ours(preset: str, changes: dict[str, tuple[int, int]]) -> None:
    front = replace(preset_settings(preset)["front"], vocab_size=6, seq_len=16)
    model, inputs = HRM(ModelConfig.preset(preset, front=front, **changes)).eval(), cells(4, 16, 6)
    carry = model.initial_carry(4)
    for _ in range(2):
        carry, output = model.segment(carry, batch_of(inputs))
    plain = PlainMixer(model)
    z = plain.start(4)
    for _ in range(2):
        *z, logits = plain.segment(*z, inputs)
    torch.testing.assert_close(logits, output.logits, atol=1e-4, rtol=1e-4)


def test_a_mixer_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="preset small"):
        PlainMixer(small_hrm())


def test_the_published_loss_is_ours_to_rounding() -> None:
    logits = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([[0, 1, 2, 3, 4], [5, 6, 0, 1, 2]])
    ours = -log_stablemax(logits).gather(-1, labels[..., None]).mean()
    torch.testing.assert_close(stablemax_loss(logits, labels), ours, atol=1e-5, rtol=1e-5)


def test_the_plain_trainer_learns_its_rows() -> None:
    inputs, labels = cells(2, 81, 11), cells(2, 81, 11)
    trainer = ReferenceTrainer(reference_of(small_hrm(), torch.float32), 2)
    losses = [trainer.step(inputs, labels) for _ in range(25)]
    assert losses[-1] < losses[0] - 0.05


def test_a_ratio_is_taken_within_its_round() -> None:
    timings = {"slow": Timing(cpu_ms=[10.0, 100.0, 30.0]), "quick": Timing(cpu_ms=[5.0, 25.0, 10.0])}
    assert speedup(timings, "quick", "slow") == 3.0
    assert speedup(timings, "absent", "slow") is None


def test_all_take_turns() -> None:
    order: list[str] = []
    take_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, num_rounds=2, num_warm=1)
    assert order == ["a", "b"] * 3


def test_a_part_that_was_run_is_scaled_to_the_whole() -> None:
    whole, half = (
        take_turns({"a": lambda: sum(range(100_000))}, num_rounds=3, share=share)["a"]
        for share in (1.0, 0.01)
    )
    assert half.describe()["cpu_ms"] > 10 * whole.describe()["cpu_ms"]


def test_a_quick_row_of_sixteen_is_one_segment_scaled() -> None:
    sixteen = scaled({"a": Timing(cpu_ms=[2.0], wall_ms=[1.0])}, 16)["a"]
    assert sixteen.describe() == {"n": 1, "cpu_ms": 32.0, "wall_ms": 16.0, "share_run": 1 / 16}


def made(
    ours_ms: float, *, exact: float = 1.0
) -> tuple[list[SegmentRow], dict[str, Timing], list[Solved], dict[str, dict[str, int | None]]]:
    timings = {
        REFERENCE_FP32: Timing(cpu_ms=[100.0], wall_ms=[50.0]),
        OURS_BF16: Timing(cpu_ms=[ours_ms], wall_ms=[50.0]),
    }
    solved = Solved(
        model="made",
        num_puzzles=10,
        exact={REFERENCE: 1.0, OURS: exact},
        mean_segments={REFERENCE: 16.0, OURS: 1.5},
        num_parameters=1000,
        file_bytes=1000,
        timings={
            REFERENCE: Timing(cpu_ms=[100.0], wall_ms=[100.0]),
            OURS: Timing(cpu_ms=[10.0], wall_ms=[10.0]),
        },
    )
    memory: dict[str, dict[str, int | None]] = {"segment": {REFERENCE_FP32: 100, OURS_BF16: 90}}
    return [SegmentRow(batch_size=1, num_segments=1, timings=timings)], timings, [solved], memory


def test_bars_are_met_missed_and_owed() -> None:
    assert [
        bar.is_met for bar in make_bars(*made(25.0), instruction_set="AVX512-BF16", is_measured_here=True)
    ] == [True] * 5
    assert [
        bar.is_met
        for bar in make_bars(*made(90.0, exact=0.9), instruction_set="AVX512-BF16", is_measured_here=True)
    ] == [
        False,
        False,
        True,
        False,
        True,
    ]
    assert [
        bar.is_met for bar in make_bars(*made(25.0), instruction_set="AVX512-BF16", is_measured_here=False)
    ] == [
        None,
        None,
        None,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("instruction_set", "expected"),
    [
        ("AMX", [2.4, 2.5, 10.0]),
        ("AVX512-BF16", [2.0, 2.0, 6.0]),
        ("AVX512", [None, None, 6.0]),
        ("AVX2", [None, None, 6.0]),
        ("none", [None, None, 6.0]),
    ],
)
def test_speed_bars_depend_on_the_instruction_set(
    instruction_set: harness.InstructionSet, expected: list[float | None]
) -> None:
    bars = make_bars(*made(25.0), instruction_set=instruction_set, is_measured_here=True)
    assert [bar.bar for bar in bars[:3]] == expected


def test_the_compiled_row_counts_where_it_was_timed() -> None:
    rows, steps, solved, memory = made(50.0)
    rows[0].timings[OURS_COMPILED] = Timing(cpu_ms=[20.0], wall_ms=[20.0])
    assert (
        make_bars(rows, steps, solved, memory, instruction_set="AVX512-BF16", is_measured_here=True)[0].value
        == 5.0
    )
    assert len(tables(rows, steps, solved, memory)) == 4


def test_a_peak_that_was_left_out_is_owed() -> None:
    rows, steps, solved, _ = made(25.0)
    bars = make_bars(
        rows,
        steps,
        solved,
        {"segment": {REFERENCE_FP32: 100, OURS_BF16: None}},
        instruction_set="AVX512-BF16",
        is_measured_here=True,
    )
    assert bars[-1].is_met is None


@pytest.mark.slow
def test_our_step_at_full_size_trains() -> None:
    step = our_step(cells(1, 81, 11), cells(1, 81, 11))
    assert step().is_finite  # type: ignore[attr-defined]


def test_lines_by_torch_and_by_compiled_loops_are_the_same_model() -> None:
    by_torch, by_kernels = (trained(may_use_kernels=each) for each in (False, True))
    for model in (by_torch, by_kernels):
        step_of(model)()
    for ours, theirs in zip(by_kernels.parameters(), by_torch.parameters()):
        assert ours.grad is not None
        assert theirs.grad is not None
        size = float(theirs.grad.abs().max())
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-4 * size, rtol=1e-3)
    assert lines_tables(
        {"a segment": {BY_TORCH: Timing(cpu_ms=[3.0, 2.0]), BY_KERNELS: Timing(cpu_ms=[1.0, 1.0])}}
    )[0].rows == ((BY_TORCH, "2.5", "1.00"), (BY_KERNELS, "1.0", "2.50"))
