"""One flipped bit in each kind of file of a state directory is found by what reads the file, or changes
nothing that is read. The metrics store: tests/app/store/test_page_checks.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from sage.app.audit.log import AuditLog
from sage.app.audit.reader import read_trail
from sage.app.control.hold import HoldFile
from sage.app.http.token import open_token
from sage.durable import Contents, checked_json, digest_of, read_checked, read_json, write_checked, write_file
from sage.errors import SageError
from sage.hrm_core.checkpoint.weights_file import read_model, save_model
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.memory.stores.journal import Journal
from sage.memory.stores.journal_file import read_journal
from sage.memory.stores.journal_row import JournalRow
from sage.related_work.totality.persistence import Folder
from sage.related_work.totality.state import StoreState
from sage.runtime.snapshot_about import read_about, write_about

NUM_HEAD_BITS, NUM_FLIPS = 512, 60
#: Read is what a file's reader returns, in a form to compare; it raises SageError for a damaged file.
Read = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    path: Path
    read: Read


def audit(folder: Path) -> Case:
    log = AuditLog(folder, max_bytes=1 << 20)
    for number in range(4):
        assert log.note("step", f"number {number}") == ""
    log.close()

    def read() -> object:
        trail = read_trail(folder)
        if trail.problems:
            raise SageError(trail.problems[0])
        return trail.rows

    return Case(path=folder / "00000001.jsonl", read=read)


def hold(folder: Path) -> Case:
    file = HoldFile(folder, wall_ns=lambda: 5)
    file.write("crash", "the last session did not end cleanly")

    def read() -> object:
        found = file.read()
        if found is None or "cannot be read" in found.reason:  # it holds as an estop does
            raise SageError("not read")
        return found

    return Case(path=folder / "hold.json", read=read)


def values(folder: Path) -> Case:
    """As calibrations, and the job and report of a night."""
    path = folder / "values.json"
    write_file(path, checked_json({"version": 1, "values": {"gain": [1.5, -2.0]}}))
    return Case(path=path, read=lambda: read_json(path, plain_keys=("version", "values")))


def mind(folder: Path, name: str) -> Case:
    (folder / "state.safetensors").write_bytes(bytes(range(200)))
    digests = {"state.safetensors": digest_of((folder / "state.safetensors").read_bytes())}
    write_about(folder, {"format": 2, "digests": digests, "tick": 9, "weights_version": 3, "journal": 7})
    return Case(path=folder / name, read=lambda: read_about(folder))


def arrays(folder: Path) -> Case:
    """As memory.safetensors and weights.safetensors of trainers, and the windows of a night."""
    path = folder / "arrays.safetensors"
    write_checked(path, Contents(arrays={"a": np.arange(40.0)}, scalars={"n": 3}), schema="test/1")

    def read() -> object:
        found = read_checked(path, schema="test/1")
        return found.scalars, {name: array.tolist() for name, array in found.arrays.items()}

    return Case(path=path, read=read)


def model(folder: Path) -> Case:
    front = TokenFront(vocab_size=5, seq_len=4)
    layers = {"H_layers": 1, "L_layers": 1, "H_cycles": 1, "L_cycles": 1}
    config = ModelConfig(front=front, hidden_size=8, num_heads=1, **layers)
    path = folder / "model.safetensors"
    save_model(path, HRM(config, generator=torch.Generator().manual_seed(0)), {"night": 2})

    def read() -> object:
        found = read_model(path)
        return found.config, found.metadata, {name: each.tolist() for name, each in found.state.items()}

    return Case(path=path, read=read)


def journal(folder: Path) -> Case:
    path = folder / "journal.sqlite"
    own = Journal(path)
    for number in range(6):
        own.append(_row(number))
    own.close()

    def read() -> object:
        found = read_journal(path)
        if not found.is_intact or found.num_damaged:
            raise SageError(f"{found.num_damaged} damaged rows")
        return [(row.sequence, row.id, row.data, row.scalars_json) for row in found.rows]

    return Case(path=path, read=read)


def _row(number: int) -> JournalRow:
    return JournalRow(
        store="recall",
        slot=number,
        id=number,
        first_id=number,
        episode=0,
        first_episode=0,
        context=0,
        epoch_ns=5,
        time_ns=number,
        salience=0.5,
        trust=0.5,
        scalars={"n": number},
        arrays={"keys": np.full(300, number, np.float32)},
    )


def totality(folder: Path) -> Case:
    own = Folder(folder)
    own.write(StoreState().snapshot(7), 3)
    (path,) = own.snapshots()

    def read() -> object:
        found = Folder.read(path)
        if found is None:
            raise SageError("damaged")
        return found

    return Case(path=path, read=read)


def token(folder: Path) -> Case:
    open_token(folder)
    return Case(path=folder / "http.token", read=lambda: open_token(folder))


def recording(folder: Path) -> Case:
    pytest.importorskip("mcap", reason="mcap is not installed")
    from sage.app.recording.channels import reading_channel
    from sage.app.recording.check import check_recording
    from sage.app.recording.mcap_sink import McapSink, RunRecord
    from sage.app.terminal.errors import UserError
    from sage.sensors.contract import SensorSpec, TensorSpec

    path = folder / "run.mcap"
    tensor = TensorSpec(shape=(1,))
    spec = SensorSpec(name="one", modality="physical", tensor=tensor, period_ns=10, observes=("a", "b"))
    sink = McapSink(path, RunRecord(run={"start_ns": "1000"}, effectors=(), config="name: a\n"))
    channel = sink.add_channel(reading_channel(spec, "values"))
    for index in range(3):
        message = {"values": [0.5], "sequence": index, "noise_std": None, "quality": 1, "confidence": 1}
        at_ns = 1000 + index * 10
        sink.write(channel, json.dumps(message).encode(), log_ns=at_ns, publish_ns=at_ns, sequence=index)
    sink.close({})

    def read() -> object:
        problems, num = check_recording(path)
        if problems:
            raise UserError(problems[0])
        return num

    return Case(path=path, read=read)


CASES: dict[str, Callable[[Path], Case]] = {
    "audit": audit,
    "hold": hold,
    "values": values,
    "mind.json": lambda folder: mind(folder, "mind.json"),
    "a file of a snapshot": lambda folder: mind(folder, "state.safetensors"),
    "arrays": arrays,
    "model": model,
    "journal": journal,
    "totality": totality,
    "token": token,
    "recording": recording,
}
#: Bytes that nothing reads: free space in SQLite's pages, the line's end of a token.
MAY_BE_UNUSED = {"journal", "token"}


@pytest.mark.parametrize("name", CASES)
def test_a_flipped_bit_is_found(name: str, tmp_path: Path) -> None:
    _flip_bits(CASES[name](tmp_path), name, NUM_FLIPS)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", CASES)
def test_many_flipped_bits_are_found(name: str, tmp_path: Path) -> None:
    _flip_bits(CASES[name](tmp_path), name, 3000)


def _flip_bits(case: Case, name: str, num: int) -> None:
    data = case.path.read_bytes()
    mode = case.path.stat().st_mode
    before = case.read()
    step = max(NUM_HEAD_BITS // num, 1)
    chance = np.random.default_rng(0).integers(0, len(data) * 8, num).tolist()
    ends = range(len(data) * 8 - 32, len(data) * 8)
    messages, missed = [], []
    for bit in {*range(0, min(NUM_HEAD_BITS, len(data) * 8), step), *chance, *ends}:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        case.path.write_bytes(flipped)
        case.path.chmod(mode)
        try:
            after = case.read()
        except SageError as error:
            messages.append(str(error))
        else:
            if after != before or name not in MAY_BE_UNUSED:
                missed.append(bit)
    assert missed == []
    assert messages
    assert not any("\n" in message for message in messages)
