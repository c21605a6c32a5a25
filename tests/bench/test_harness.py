"""The harness: instruction sets, bars, the document, saved results."""

from __future__ import annotations

import json

import harness
import numpy as np
import pytest


@pytest.mark.parametrize(
    ("value", "better", "is_met"),
    [
        (0.9, "higher", False),
        (1.0, "higher", True),
        (1.1, "lower", False),
        (None, "lower", None),
        (float("nan"), "lower", False),
    ],
)
def test_a_bar_is_met_missed_or_owed(value: float | None, better: str, is_met: bool | None) -> None:
    assert harness.Bar(name="x", value=value, bar=1.0, better=better).is_met is is_met


def test_the_document_has_its_keys_and_only_plain_values() -> None:
    bars = [harness.Bar(name="x", value=1.0, bar=0.0, better="higher")]
    results = {"skill": np.float64(0.5), "none": float("nan"), "rows": np.arange(2)}
    whole = harness.document("made", results, bars, peers=["no-such-peer"])
    assert set(whole) == {"bench", "command", "commit", "hardware", "versions", "results", "bars"}
    assert json.loads(json.dumps(whole, allow_nan=False))["results"] == {
        "skill": 0.5,
        "none": None,
        "rows": [0, 1],
    }
    assert whole["versions"]["no-such-peer"] is None
    assert whole["bars"] == [{"name": "x", "value": 1.0, "bar": 0.0, "better": "higher", "met": True}]


def test_the_command_is_kept_without_folders_of_this_machine() -> None:
    script = str(harness.ROOT / "implementation" / "bench" / "life.py")
    argv = [script, "--runs", "/some/where/lives", "--known=/else/old.json", "--arms", "a whole", "--save"]
    assert harness.command(argv) == "sage bench life --runs lives --known=old.json --arms 'a whole'"
    assert harness.command(["/anywhere/proof.py", "--quick"]) == "python proof.py --quick"
    assert harness.command([script, "--set", "sleep.enabled=false"]).endswith(" --set sleep.enabled=false")


def test_the_document_is_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    whole = harness.document("made", {}, [])
    harness.finish(whole, [harness.bars_table([])], is_saved=False)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == whole


def test_a_saved_result_is_named_after_bench_hardware_and_day(tmp_path) -> None:
    whole = harness.document("made", {}, [])
    table = harness.TextTable(title="T", columns=("a", "b"), rows=(("1", "2"),))
    path = harness.save(whole, [table], notes="Why.", folder=tmp_path)
    assert path.name.startswith(f"made_{harness.hardware_slug(whole['hardware'])}_20")
    assert json.loads(path.read_text()) == whole
    assert "| 1 | 2 |" in path.with_suffix(".md").read_text()


def test_hardware_is_named_by_its_gpu_or_its_cores() -> None:
    assert (
        harness.hardware_slug({"gpu": "NVIDIA H100 80GB", "machine": "x86_64", "cores": 2})
        == "nvidia-h100-80gb"
    )
    assert harness.hardware_slug({"gpu": None, "machine": "x86_64", "cores": 2}) == "x86-64-2core"


AMX_FLAGS = ["avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8"]


@pytest.mark.parametrize(
    ("flags", "capability", "limit", "expected"),
    [
        (AMX_FLAGS, "AVX512", "", "AMX"),
        (AMX_FLAGS[:3], "AVX512", "", "AVX512-BF16"),
        (AMX_FLAGS[:2], "AVX512", "", "AVX512"),
        (AMX_FLAGS[:1], "AVX2", "", "AVX2"),
        ([], "DEFAULT", "", "none"),
        (["amx_int8", "avx2"], "AVX2", "", "AVX2"),
        (AMX_FLAGS, "AVX2", "", "AVX2"),
        (AMX_FLAGS, "DEFAULT", "", "none"),
        (AMX_FLAGS, "AVX512", "ALL", "AMX"),
        (AMX_FLAGS, "AVX512", "AVX512_CORE_AMX", "AMX"),
        (AMX_FLAGS, "AVX512", "avx512_core_bf16", "AVX512-BF16"),
        (AMX_FLAGS, "AVX512", "AVX512_CORE_FP16", "AVX512-BF16"),
        (AMX_FLAGS, "AVX512", "AVX512_CORE_VNNI", "AVX512"),
        (AMX_FLAGS, "AVX512", "AVX2_VNNI", "AVX2"),
        (AMX_FLAGS, "AVX512", "SSE41", "none"),
    ],
)
def test_the_instruction_set_is_the_fastest_that_processor_and_limits_permit(
    flags: list[str], capability: str, limit: str, expected: str
) -> None:
    found = harness.best_instruction_set(flags=flags, capability=capability, onednn_limit=limit)
    assert found == expected


def test_the_environment_limits_the_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "_cpuinfo", lambda field: " ".join(AMX_FLAGS))
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert harness.hardware()["instruction_set"] == "AMX"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert harness.hardware()["instruction_set"] == "AVX2"
    assert harness.bars_table([]).title == "Bars (instruction set: AVX2)"


@pytest.mark.parametrize(
    ("current", "expected"),
    [("AMX", 2.4), ("AVX512-BF16", 2.0), ("AVX512", None), ("AVX2", None), ("none", None)],
)
def test_a_bar_is_that_of_the_fastest_set_the_machine_has(current: str, expected: float | None) -> None:
    assert harness.bar_by_set({"AMX": 2.4, "AVX512-BF16": 2.0}, current) == expected


def test_a_bar_by_instruction_set_is_stated_in_the_table_and_the_document() -> None:
    bars = {"AMX": 2.4, "AVX512-BF16": 2.0}
    bar = harness.Bar(name="x", value=2.1, bar=2.0, better="higher", by_set=bars)
    none = harness.Bar(name="y", value=2.1, bar=None, better="higher", by_set=bars)
    assert none.is_met is None
    assert harness.bars_table([bar, none]).rows == (
        ("x", "+2.100", ">= 2 (AMX 2.4, AVX512-BF16 2)", "met"),
        ("y", "+2.100", "no bar here (AMX 2.4, AVX512-BF16 2)", "-"),
    )
    solve = harness.Bar(name="z", value=None, bar=6.0, better="higher", by_set={"AMX": 10.0, "none": 6.0})
    assert harness.bars_table([solve]).rows == (("z", "-", ">= 6 (AMX 10, otherwise 6)", "owed"),)
    rows = harness.document("made", {}, [bar, none])["bars"]
    assert [row["by_instruction_set"] for row in rows] == [bars, bars]
    assert [row["bar"] for row in rows] == [2.0, None]


def test_seeds_are_different_whole_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    parser = harness.argument_parser("made")
    parser.add_argument("--seeds", type=harness.seeds_of, default="0,1,2")
    assert parser.parse_args([]).seeds == (0, 1, 2)
    assert parser.parse_args(["--seeds", "7"]).seeds == (7,)
    for text in ("0,0,0", "a", "1,", "", "-1", "1.5"):
        with pytest.raises(SystemExit) as ended:
            parser.parse_args([f"--seeds={text}"])
        assert ended.value.code == 2
        assert "different whole numbers" in capsys.readouterr().err
