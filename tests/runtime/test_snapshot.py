"""A snapshot is loaded completely or renamed to .damaged, never onto other sensors, never with NaN."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from sage.app.session.build import build_run
from sage.durable import NewerVersion, digest_of
from sage.hrm_core.checkpoint import weights_file
from sage.hrm_core.checkpoint.weights_file import save_model
from sage.mailbox.clock import ManualClock
from sage.memory.stores import snapshot as memory_file
from sage.memory.stores.snapshot import save_states
from sage.runtime import snapshot as snapshot_module
from sage.runtime.loop import Loop
from sage.runtime.snapshot import (
    SnapshotNotFinite,
    capture_snapshot,
    load_snapshot,
    save_snapshot,
    snapshot_key,
    write_snapshot,
)
from sage.runtime.snapshot_about import ABOUT, SnapshotUnavailable, read_about, write_about


class Digests:
    """An instrument that keeps each tick's digest."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def on_tick(self, report) -> None:
        self.found.append(report.facts.digest())

    def on_sleep(self, report) -> None: ...

    def on_event(self, event) -> None: ...


def learned(loop: Loop) -> dict[str, np.ndarray]:
    """All that a snapshot holds of a loop, as arrays by name."""
    whole = capture_snapshot(loop)
    arrays = {f"weights.{name}": weight.numpy() for name, weight in whole.model.state_dict().items()} | dict(
        whole.arrays
    )
    for store, state in whole.memory.items():
        arrays |= {
            f"{store}.{name}": array
            for name, array in state.arrays.items()
            if not name.endswith(("times_ns", "start_time_ns"))  # of the run that they count from
        }
    return arrays


def assert_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype, name
        assert np.array_equal(array, other[name], equal_nan=array.dtype.kind == "f"), name


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A snapshot in a folder of the test's own.  arrays: what the loop knew that wrote it, at tick 120."""

    home: Path
    key: str
    arrays: dict[str, np.ndarray]

    @property
    def directory(self) -> Path:
        return self.home / self.key


def live(loop: Loop) -> Loop:
    loop.run(num_ticks=120)
    assert loop.between_ticks.practice.num_steps > 0
    return loop


@pytest.fixture(scope="module")
def first(settings, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    home = tmp_path_factory.mktemp("first")
    run = build_run(settings(), ManualClock(), directory=home / "sleep")
    try:
        run.open()
        live(run.loop)
        run.loop.between_ticks.weights_version = 3
        run.loop.between_ticks.sleeper.num_nights = 5
        save_snapshot(home, run.loop)
        return Kept(home=home, key=snapshot_key(run.loop), arrays=learned(run.loop))
    finally:
        run.close()


@pytest.fixture
def kept(first: Kept, tmp_path: Path) -> Kept:
    shutil.copytree(first.directory, tmp_path / "mind" / first.key)
    return Kept(home=tmp_path / "mind", key=first.key, arrays=first.arrays)


@pytest.fixture
def lived(start, settings) -> Loop:
    return live(start(settings()).loop)


@pytest.fixture
def young(start, settings) -> Loop:
    return start(settings()).loop


def test_the_learned_state_is_restored(kept: Kept, young: Loop):
    assert load_snapshot(kept.home, young) == "continued from tick 120, weights version 3"
    assert young.between_ticks.weights_version == 3
    assert young.between_ticks._plan(0).seed == young.between_ticks._config.seed + 5, "of the next night"
    assert_equal(learned(young), kept.arrays)


def test_two_loops_of_one_snapshot_continue_alike_and_unlike_a_fresh_one(kept: Kept, start, settings):
    lives = [Digests() for _ in range(3)]
    for index, digests in enumerate(lives):
        loop = start(settings(), instruments=(digests,)).loop
        if index < 2:
            load_snapshot(kept.home, loop)
        loop.run(num_ticks=30)
    assert lives[0].found == lives[1].found
    assert lives[0].found != lives[2].found


def test_times_of_an_earlier_run_are_negative(kept: Kept, young: Loop):
    """Times count from a run's own start: a memory of an hour ago must not lie in the future."""
    load_snapshot(kept.home, young)
    memory = young.memory_writer.memory
    times = [
        store.times_ns
        for store in (memory.replay, memory.examination, memory.recall_store)
        if store.times_ns.size
    ]
    assert times
    assert max(int(found.max()) for found in times) <= 0


def test_other_sensors_start_fresh_and_leave_the_snapshot(kept: Kept, young: Loop, start, settings):
    stranger = start(settings(num_sources=3)).loop
    before = learned(stranger)
    assert "no snapshot for these sensors and this model" in load_snapshot(kept.home, stranger)
    assert_equal(learned(stranger), before)
    save_snapshot(kept.home, stranger)
    assert load_snapshot(kept.home, young).startswith("continued from tick 120")


@pytest.mark.parametrize(
    "changed", [{"model": {"hidden_size": 32, "num_heads": 2}}, {"memory": {"num_experiences": 32}}]
)
def test_other_sizes_have_another_key(young: Loop, start, settings, changed: dict[str, object]):
    assert snapshot_key(start(settings(**changed)).loop) != snapshot_key(young)
    assert snapshot_key(start(settings(seed=5)).loop) == snapshot_key(young)


def test_without_a_snapshot_a_run_starts_fresh(young: Loop, tmp_path: Path):
    assert load_snapshot(tmp_path / "none", young) == "no snapshot found, starting fresh"


@pytest.mark.parametrize(
    "name", [snapshot_module.MODEL, snapshot_module.STATE, snapshot_module.MEMORY, ABOUT]
)
@pytest.mark.parametrize("harm", ["gone", "cut", "one bit"])
def test_a_damaged_snapshot_is_set_aside_and_nothing_of_it_loaded(
    kept: Kept, young: Loop, name: str, harm: str
):
    directory = kept.directory
    path = directory / name
    content = bytearray(path.read_bytes())
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(content[:-20])
    else:
        position = 2 if name == ABOUT else len(content) // 2
        content[position] ^= 1
        path.write_bytes(content)
    before = learned(young)
    message = load_snapshot(kept.home, young)
    assert "could not be read" in message
    assert message.endswith("starting fresh")
    assert_equal(learned(young), before)
    assert not directory.exists()
    assert (kept.home / f"{directory.name}.damaged").is_dir()
    assert "starting fresh" in load_snapshot(kept.home, young)


@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"format": 1}', '{"format": 2}'])
def test_a_snapshot_of_another_format_is_set_aside(kept: Kept, young: Loop, content: str):
    (kept.directory / ABOUT).write_text(content)
    assert "could not be read" in load_snapshot(kept.home, young)


def content(home: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_a_snapshot_of_a_newer_version_stops_the_run_and_stays(kept: Kept, young: Loop):
    """Also the one before it stays: a run of an older version between two of a newer one destroys nothing."""
    shutil.copytree(kept.directory, kept.home / f"{kept.key}.old")
    write_about(kept.directory, read_about(kept.directory) | {"format": 3})
    before, state = content(kept.home), learned(young)
    for _ in range(2):
        with pytest.raises(SnapshotUnavailable, match="format 3, this version of SAGE reads up to 2"):
            load_snapshot(kept.home, young)
    assert content(kept.home) == before
    assert_equal(learned(young), state)


@pytest.mark.parametrize("part", ["memory", "model"])
def test_a_snapshot_with_a_file_of_a_newer_version_stops_the_run_and_stays(
    kept: Kept, young: Loop, monkeypatch, part: str
):
    about = read_about(kept.directory)
    if part == "memory":
        path, module, name, newer = kept.directory / "memory.safetensors", memory_file, "SCHEMA", "memory/2"
    else:
        path, module, name, newer = (
            kept.directory / "model.safetensors",
            weights_file,
            "FORMAT",
            "sage-model-2",
        )
    monkeypatch.setattr(module, name, newer)
    if part == "memory":
        save_states(path, {})
    else:
        save_model(path, young.reasoner.model)
    monkeypatch.undo()
    digests = about["digests"] | {path.name: digest_of(path.read_bytes())}
    write_about(kept.directory, about | {"digests": digests})
    before, state = content(kept.home), learned(young)
    with pytest.raises(NewerVersion, match=newer):
        load_snapshot(kept.home, young)
    assert content(kept.home) == before
    assert_equal(learned(young), state)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), OSError(24, "Too many open files")])
def test_a_disk_that_fails_now_is_no_damage(kept: Kept, young: Loop, monkeypatch, error: OSError):
    before = content(kept.home)

    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(snapshot_module, "read_about", fail)
    with pytest.raises(SnapshotUnavailable, match=f"cannot be loaded now .*{error.strerror}"):
        load_snapshot(kept.home, young)
    monkeypatch.undo()
    assert content(kept.home) == before
    assert load_snapshot(kept.home, young).startswith("continued from tick 120")


def test_a_device_without_memory_is_no_damage(kept: Kept, young: Loop, monkeypatch):
    before, state = content(kept.home), learned(young)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(young.memory_writer.memory, "load", fail)
    with pytest.raises(SnapshotUnavailable, match="CUDA out of memory"):
        load_snapshot(kept.home, young)
    assert content(kept.home) == before
    assert_equal(learned(young), state)


def test_weights_that_do_not_fit_are_damage_and_the_run_goes_on(kept: Kept, young: Loop, monkeypatch):
    state = learned(young)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Error(s) in loading state_dict: size mismatch for front.weight")

    monkeypatch.setattr(young.memory_writer.memory, "load", fail)
    assert "renamed to" in load_snapshot(kept.home, young)
    assert_equal(learned(young), state)


def test_a_state_that_fits_only_in_part_leaves_the_loop_unchanged(kept: Kept, young: Loop, monkeypatch):
    """Whole files of another version: the last part refuses after the first were loaded."""
    before = learned(young)

    def refuse(_: object) -> None:
        raise KeyError("a name that this version does not know")

    monkeypatch.setattr(young.memory_writer.memory, "load", refuse)
    assert "could not be read" in load_snapshot(kept.home, young)
    monkeypatch.undo()
    assert_equal(learned(young), before)


def crash_at(monkeypatch: pytest.MonkeyPatch, num_renames: int) -> None:
    """The process dies before the rename numbered `num_renames`."""
    rename, calls = Path.rename, []

    def counted(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) > num_renames:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", counted)


@pytest.mark.parametrize("num_renames", [0, 1])
@pytest.mark.parametrize("num_crashes", [1, 2])
def test_a_crash_between_the_renames_leaves_a_complete_one(
    kept, young, start, settings, monkeypatch, num_renames, num_crashes
):
    later = start(settings()).loop
    later.tick()
    for _ in range(num_crashes):
        crash_at(monkeypatch, num_renames if kept.directory.exists() else 0)
        with pytest.raises(KeyboardInterrupt):
            save_snapshot(kept.home, later)
        monkeypatch.undo()
    assert load_snapshot(kept.home, young) == "continued from tick 120, weights version 3"
    save_snapshot(kept.home, later)
    assert load_snapshot(kept.home, young).startswith("continued from tick 1,")
    assert {path.name for path in kept.home.iterdir()} == {kept.key, f"{kept.key}.old"}
    (kept.directory / snapshot_module.MODEL).write_bytes(b"")
    assert load_snapshot(kept.home, young).endswith("continued from tick 120, weights version 3")


def test_after_a_damaged_snapshot_the_previous_one_is_loaded(kept: Kept, young: Loop):
    shutil.copytree(kept.directory, kept.home / f"{kept.key}.old")
    (kept.directory / snapshot_module.MODEL).write_bytes(b"")
    message = load_snapshot(kept.home, young)
    assert f"renamed to {kept.key}.damaged" in message
    assert message.endswith("continued from tick 120, weights version 3")


def test_a_full_disk_leaves_the_previous_one_and_no_part(
    kept: Kept, young: Loop, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    young.tick()
    monkeypatch.setattr(snapshot_module, "save_states", refuse)
    with pytest.raises(OSError, match="No space left"):
        save_snapshot(kept.home, young)
    assert [path.name for path in kept.home.iterdir()] == [kept.key]
    assert load_snapshot(kept.home, young).startswith("continued from tick 120")


def test_weights_that_are_not_finite_are_never_saved(kept: Kept, young: Loop, start, settings):
    """A crisis of NaN must not be the next run's beginning."""
    sick = start(settings()).loop
    next(iter(sick.reasoner.model.parameters())).data[0] = torch.nan
    with pytest.raises(SnapshotNotFinite):
        save_snapshot(kept.home, sick)
    assert load_snapshot(kept.home, young).startswith("continued from tick 120")


def test_a_captured_snapshot_does_not_change_with_the_loop(lived: Loop, young: Loop, tmp_path: Path):
    captured, before = capture_snapshot(lived), learned(lived)
    lived.run(num_ticks=40)
    write_snapshot(tmp_path, captured)
    load_snapshot(tmp_path, young)
    assert_equal(learned(young), before)


WRITTEN_EARLIER = Path(__file__).parent / "snapshots"


def test_a_snapshot_that_an_earlier_version_wrote_is_loaded(start, settings, tmp_path: Path):
    """60 ticks of two sources by version 0.1.0 before this package layout: mind/KEY/mind.json, format 2."""
    home = tmp_path / "mind"
    shutil.copytree(WRITTEN_EARLIER, home)
    loop = start(
        settings(
            sensors=[
                {"kind": "synthetic", "name": f"s{index}", "shape": [2], "rate_hz": 20, "seed": index}
                for index in range(2)
            ],
            model={"hidden_size": 8, "num_heads": 1, "H_cycles": 1, "L_cycles": 1},
            practice={"every_ticks": 2, "batch_size": 2, "window_ticks": 4, "burn_in_ticks": 1},
            memory={"num_experiences": 8, "num_recall": 8, "num_transitions": 64},
        )
    ).loop
    assert load_snapshot(home, loop) == "continued from tick 60, weights version 2"
    assert loop.trust.trust == pytest.approx([0.8095466, 0.8095466])
    assert len(loop.memory_writer.memory.replay) > 0
    loop.run(num_ticks=4)
    assert sorted(path.name for path in (home / snapshot_key(loop)).iterdir()) == sorted(
        [ABOUT, snapshot_module.MEMORY, snapshot_module.MODEL, snapshot_module.STATE]
    )
