"""Messages: golden bytes, round trips, and a decoder that garbage cannot crash."""

from __future__ import annotations

import contextlib
import io
import pickle
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sage.errors import InputError
from sage.gr00t_integration.wire import codec, limits, openpi_codec
from sage.gr00t_integration.wire.errors import WireError
from sage.gr00t_integration.wire.modality import ModalityConfig

PING = bytes.fromhex("81a8656e64706f696e74a470696e67")
CODECS = pytest.mark.parametrize("wire", [codec, openpi_codec], ids=["groot", "openpi"])
NUMBERS = st.sampled_from(
    ["bool", "uint8", "int8", "uint16", "int32", "int64", "float16", "float32", "float64", ">f4"]
)
ARRAYS = NUMBERS.flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_dims=5, min_side=0))
)


def test_ping_has_the_published_bytes() -> None:
    assert codec.pack({"endpoint": "ping"}) == PING
    assert codec.unpack(PING) == {"endpoint": "ping"}


def test_the_reply_to_kill_is_nil() -> None:
    assert codec.pack(None) == b"\xc0"


def test_an_array_has_the_bytes_of_numpy_save() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    golden = msgpack.packb({"__ndarray_class__": True, "as_npy": out.getvalue()})
    assert codec.pack(array) == golden
    # The head of the message, and of the file in it: NPY 1.0.
    assert golden.startswith(
        bytes.fromhex("82b15f5f6e6461727261795f636c6173735f5fc3a661735f6e7079c498934e554d50590100")
    )


def test_a_modality_has_the_published_form() -> None:
    config = ModalityConfig(delta_indices=(0,), modality_keys=("arm",))
    assert msgpack.unpackb(codec.pack(config)) == {
        "__ModalityConfig_class__": True,
        "as_json": {
            "delta_indices": [0],
            "modality_keys": ["arm"],
            "sin_cos_embedding_keys": None,
            "mean_std_embedding_keys": None,
            "action_configs": None,
        },
    }
    text = ModalityConfig(delta_indices=(0,), modality_keys=("state.arm",), form="text")
    assert msgpack.unpackb(codec.pack(text))["as_json"] == (
        '{"delta_indices": [0], "modality_keys": ["state.arm"]}'
    )
    assert codec.unpack(codec.pack([config, text])) == [config, text]


def test_unknown_keys_of_a_modality_are_ignored() -> None:
    body = {"delta_indices": [0], "modality_keys": ["arm"], "new_in_n9": 3}
    sent = msgpack.packb({"__ModalityConfig_class__": True, "as_json": body})
    assert codec.unpack(sent) == ModalityConfig(delta_indices=(0,), modality_keys=("arm",))


def test_an_openpi_array_has_the_bytes_of_msgpack_numpy() -> None:
    golden = msgpack.packb({b"__ndarray__": True, b"data": b"\1\2", b"dtype": "|u1", b"shape": [2]})
    assert openpi_codec.pack(np.array([1, 2], dtype=np.uint8)) == golden
    with_text_keys = msgpack.packb({"__ndarray__": True, "data": b"\1\2", "dtype": b"|u1", "shape": [2]})
    assert openpi_codec.unpack(with_text_keys).tolist() == [1, 2]
    assert openpi_codec.unpack(msgpack.packb({b"__npgeneric__": True, b"data": 2.5, b"dtype": "<f4"})) == 2.5


@CODECS
@given(array=ARRAYS)
def test_arrays_come_back_as_they_were(wire: Any, array: np.ndarray) -> None:
    back = wire.unpack(wire.pack({"a": [array]}))["a"][0]
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


def test_an_array_in_fortran_order_comes_back() -> None:
    array = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    assert (codec.unpack(codec.pack(array)) == array).all()


@CODECS
@pytest.mark.parametrize(
    "value",
    [np.array([object()]), np.float32(1), np.float64(1), np.int64(3), np.str_("a"), np.zeros(2, dtype="V2"),
     np.zeros(2, dtype="c8"), np.array(["a"]), {"a": {1, 2}}, b"".__class__],
    ids=["object", "float32", "float64", "int64", "text", "bfloat16", "complex", "texts", "set", "class"],
)  # fmt: skip
def test_what_a_server_cannot_read_is_not_sent(wire: Any, value: Any) -> None:
    with pytest.raises(InputError):
        wire.pack(value)


@pytest.mark.parametrize("protocol", range(2, 6))
@CODECS
def test_pickle_is_refused_and_the_reason_is_in_the_message(wire: Any, protocol: int) -> None:
    with pytest.raises(WireError, match=r"pickle.*CVE-2026-25874"):
        wire.unpack(pickle.dumps({"action": [1.0]}, protocol=protocol))


def test_pickle_inside_an_array_is_refused() -> None:
    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    for data in (out.getvalue(), pickle.dumps([1]), b"PK\x03\x04 a file of torch.save"):
        with pytest.raises(WireError, match=r"pickle.*CVE-2026-25874"):
            codec.unpack(msgpack.packb({"__ndarray_class__": True, "as_npy": data}))
    with pytest.raises(WireError, match="CVE-2026-25874"):
        openpi_codec.unpack(
            msgpack.packb({b"__ndarray__": True, b"data": b"", b"dtype": "|O", b"shape": [0]})
        )


def test_an_array_cannot_claim_more_than_its_bytes() -> None:
    npy = codec.array_to_npy(np.zeros((2, 3)))
    for claimed in (b"(9, 9)", b"(2, 9)", b"(-2,-3)"):
        with pytest.raises(WireError):
            codec.array_from_npy(npy.replace(b"(2, 3)", claimed))
    shape = [1 << 40, 1 << 40]
    with pytest.raises(WireError):
        openpi_codec.unpack(
            msgpack.packb({b"__ndarray__": True, b"data": b"", b"dtype": "<f8", b"shape": shape})
        )


@CODECS
@pytest.mark.parametrize(
    "data",
    [b"", b"ERROR!", b"\xc1", PING[:-1], PING + b"\0", b"\x91" * 5000, b"\xdd\xff\xff\xff\xff",
     b"\xc7\x01\x05a", msgpack.packb([[]] * limits.MAX_NODES), msgpack.packb([[None] * 500] * 500)],
    ids=["empty", "text", "reserved", "cut", "longer", "deep", "claims", "extension", "many", "nils"],
)  # fmt: skip
def test_garbage_is_an_error(wire: Any, data: bytes) -> None:
    with pytest.raises(WireError):
        wire.unpack(data)


def test_a_message_beyond_the_limit_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BYTES", 100)
    with pytest.raises(WireError, match="send 100 at most"):
        codec.unpack(b"\0" * 101)
    with pytest.raises(WireError, match="send 100 at most"):
        codec.pack(b"\0" * 101)


@CODECS
@given(data=st.binary(max_size=400))
def test_any_bytes_are_a_value_or_an_error(wire: Any, data: bytes) -> None:
    with contextlib.suppress(WireError):
        wire.unpack(data)


WHOLE = codec.pack(
    {"endpoint": "get_action", "data": {"state.arm": np.zeros((1, 2), dtype=np.float32)}, "api_token": "a",
     "m": ModalityConfig(delta_indices=(0,), modality_keys=("a",), form="text")}
)  # fmt: skip


@given(
    changes=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=6)
)
def test_a_damaged_message_is_a_value_or_an_error(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(WHOLE)
    for at, byte in changes:
        damaged[at] = byte
    with contextlib.suppress(WireError):
        codec.unpack(bytes(damaged))
