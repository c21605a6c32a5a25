"""An exported file with its matrices in int8: a quarter of the size; activations are quantised as they come.

Invariant: nothing else changes: config, task and start of a carry stay in the file, the carry stays fp32.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

from sage.hrm_core.export.onnx_file import need_onnx, quiet, save_proto


def quantize_int8(source: str | Path, path: str | Path) -> None:
    """Read an fp32 file that export_onnx wrote, write its int8 form: one scale for each output channel.

    The loss of accuracy depends on the weights: measure it with check_export.
    """
    need_onnx()
    quantization: Any = importlib.import_module("onnxruntime.quantization")
    onnx: Any = importlib.import_module("onnx")
    with tempfile.TemporaryDirectory() as folder, quiet():
        partial = Path(folder) / "int8.onnx"
        quantization.quantize_dynamic(
            str(source),
            str(partial),
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["MatMul", "Gemm"],
        )
        proto = onnx.load(str(partial))
    properties = {
        each.key: each.value for each in onnx.load(str(source), load_external_data=False).metadata_props
    }
    written = {each.key for each in proto.metadata_props}
    for key in properties.keys() - written:
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, properties[key]
    save_proto(proto, path)
