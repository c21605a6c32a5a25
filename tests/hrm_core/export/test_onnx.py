"""An exported model says what the model says, halts, retries and all; int8 says nearly the same in a quarter
of the size.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnxscript", reason="the extra export is not installed")
pytest.importorskip("onnxruntime", reason="the extra export is not installed")

from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.config.model import ModelConfig, ObservationFront, TokenFront
from sage.hrm_core.export.check import compare_segment
from sage.hrm_core.export.int8 import quantize_int8
from sage.hrm_core.export.onnx_file import export_onnx
from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.observation.model import ObservationModel
from sage.hrm_core.solving.onnx_model import OnnxModel
from sage.hrm_core.solving.published import load_published
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.solving.task_card import TaskCard

CARD = TaskCard(task="sudoku", options={"size": 4}, trained={"exact": 0.5})
PUZZLES = np.random.default_rng(0).integers(1, 6, (12, 16), dtype=np.int32)


def speaking_model(preset: str, **settings: object) -> HRM:
    front = TokenFront(vocab_size=6, seq_len=16, **settings)  # type: ignore[arg-type]
    sizes = (
        {"hidden_size": 64, "num_heads": 2, "H_layers": 1, "L_layers": 1, "H_cycles": 1}
        if preset != "tiny"
        else {}
    )
    if preset == "deduce":
        sizes = {"hidden_size": 16, "box": (2, 2)}  # type: ignore[dict-item]
    config = ModelConfig.preset(preset, front=front, **sizes)  # type: ignore[arg-type]
    model = HRM(config, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.inner.q_head.weight.normal_(generator=torch.Generator().manual_seed(0))
        model.inner.q_head.bias.fill_(-6.0)
        if settings.get("num_puzzle_ids"):
            model.inner.puzzle_emb.weights.normal_(generator=torch.Generator().manual_seed(1))
    return model.eval()


@pytest.fixture(scope="module")
def small() -> HRM:
    return speaking_model("tiny", positions="learned")


@pytest.fixture(scope="module")
def path(small: HRM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "small.onnx"
    export_onnx(small, path, card=CARD)
    return path


def test_one_segment_is_torchs_to_rounding(small: HRM, path: Path) -> None:
    assert compare_segment(small, OnnxModel(path), PUZZLES) < 2e-5


def test_a_model_without_puzzle_embeddings_has_no_input_for_puzzle_ids(path: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    assert [each.name for each in session.get_inputs()] == ["z_H", "z_L", "inputs"]
    start = json.loads(session.get_modelmeta().custom_metadata_map["sage.start"])
    feeds = {name: np.tile(np.float32(start[name]), (12, 16, 1)) for name in ("z_H", "z_L")}
    assert session.run(["logits"], {**feeds, "inputs": PUZZLES})[0].shape == (12, 16, 6)


def test_the_file_contains_no_path_of_the_machine_that_wrote_it(path: Path) -> None:
    content = path.read_bytes()
    assert b".py" not in content
    assert str(Path.home()).encode() not in content


def test_a_solver_cannot_tell_the_file_from_the_model(small: HRM, path: Path) -> None:
    ways = {"tries": 3, "max_segments": 6, "batch_size": 5}
    ours, theirs = Solver(small).solve(PUZZLES, **ways), Solver(OnnxModel(path)).solve(PUZZLES, **ways)
    np.testing.assert_array_equal(ours.answers, theirs.answers)
    np.testing.assert_array_equal(ours.num_segments, theirs.num_segments)
    np.testing.assert_allclose(ours.confidence, theirs.confidence, atol=1e-3)
    assert ours.is_halted_early.any()


def test_the_file_brings_its_task(path: Path) -> None:
    found = load_published(path)
    assert found.card == CARD
    assert found.task is not None
    assert found.task.spec.grid == (4, 4)


def test_lines_and_alike_symbols_are_exported_too(tmp_path: Path) -> None:
    settings = {"mixer": "lines", "box": (2, 2), "q_source": "mean"}
    front = TokenFront(vocab_size=6, seq_len=16, positions="none", alike_from=2)
    model = HRM(
        ModelConfig.preset("tiny", front=front, **settings), generator=torch.Generator().manual_seed(0)
    ).eval()
    export_onnx(model, tmp_path / "lines.onnx", card=CARD)
    assert compare_segment(model, OnnxModel(tmp_path / "lines.onnx"), PUZZLES) < 2e-5


@pytest.mark.slow
def test_hrms_two_nets_rope_and_puzzle_rows_are_exported_too(tmp_path: Path) -> None:
    model = speaking_model("hrm-27m", num_puzzle_ids=3, puzzle_emb_ndim=64, puzzle_tokens=1)
    export_onnx(model, tmp_path / "hrm.onnx")
    exported, ids = OnnxModel(tmp_path / "hrm.onnx"), np.arange(12) % 4 - 1  # -1: an unknown puzzle
    ours, theirs = (
        Solver(each).solve(PUZZLES, halt="never", max_segments=2, puzzle_ids=ids)
        for each in (model, exported)
    )
    np.testing.assert_array_equal(ours.answers, theirs.answers)
    assert exported.config == model.config
    assert exported.card is None


def test_int8_is_smaller_and_nearly_the_same(small: HRM, path: Path, tmp_path: Path) -> None:
    quantize_int8(path, tmp_path / "int8.onnx")
    assert (
        tmp_path / "int8.onnx"
    ).stat().st_size < 0.6 * path.stat().st_size  # of so small a file the graph is a part
    exported = OnnxModel(tmp_path / "int8.onnx")
    assert exported.card == CARD
    ours, theirs = (
        Solver(each).solve(PUZZLES, halt="never", max_segments=1).answers for each in (small, exported)
    )
    assert (ours == theirs).mean() > 0.9
    assert 0 < compare_segment(small, exported, PUZZLES) < 0.5


def test_what_is_no_export_of_ours_is_one_line(path: Path, tmp_path: Path) -> None:
    import onnx

    foreign = onnx.load(str(path))
    del foreign.metadata_props[:]
    onnx.save(foreign, str(tmp_path / "foreign.onnx"))
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    for name, said in (
        ("foreign", "not an ONNX file of SAGE"),
        ("broken", "ONNX Runtime cannot read it"),
        ("absent", "not read"),
    ):
        with pytest.raises(CheckpointError, match=said) as caught:
            OnnxModel(tmp_path / f"{name}.onnx")
        assert "\n" not in str(caught.value)


def test_a_model_of_sensors_is_not_exported(tmp_path: Path) -> None:
    model = ObservationModel(
        ModelConfig.preset("loop", front=ObservationFront(source_dims=(3,), num_actions=1))
    )
    with pytest.raises(TypeError, match="TokenFront"):
        export_onnx(model, tmp_path / "no.onnx")  # type: ignore[arg-type]
    assert not (tmp_path / "no.onnx").exists()


def test_a_model_with_deduction_heads_reads_candidates_from_the_file_too(tmp_path: Path) -> None:
    model = speaking_model("deduce", positions="none", alike_from=2)
    exported_to = tmp_path / "deduce.onnx"
    with torch.no_grad():
        for weight in model.inner.deduction_heads.parameters():
            weight.normal_(generator=torch.Generator().manual_seed(3))
    export_onnx(model, exported_to, card=CARD)
    exported = OnnxModel(exported_to)
    assert compare_segment(model, exported, PUZZLES) < 1e-4
    rows = torch.from_numpy(PUZZLES)
    candidates = torch.rand(12, 16, 4, generator=torch.Generator().manual_seed(4)) < 0.7
    batch = TokenBatch(inputs=rows, labels=rows, puzzle_ids=torch.full((12,), -1), candidates=candidates)
    with torch.inference_mode():
        ours, theirs = (each.segment(each.initial_carry(12), batch)[1] for each in (model, exported))
    torch.testing.assert_close(theirs.keep, ours.keep, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(theirs.conflict, ours.conflict, rtol=1e-3, atol=1e-4)
    settings = SolveSettings(max_segments=1, halt="never", search=12, chains=3, search_segments=1)
    found, expected = (Solver(each).solve(PUZZLES, settings) for each in (exported, model))
    assert found.outcome == expected.outcome
