"""One segment as an ONNX graph: (z_H, z_L, inputs[, puzzle_ids][, candidates]) -> (next_z_H, next_z_L,
logits, q_halt, q_continue[, keep, conflict]). `puzzle_ids` is an input only of a model with puzzle
embeddings; `candidates`, `keep` and `conflict` only of one with deduction heads.

Invariant: the file is complete: weights, the start of a carry, the model's config and its task. Any number of
rows. Metadata, as JSON: sage.config, sage.start (H_init and L_init, the same for every token), sage.task.
Shapes: B rows, L cells, S tokens, D hidden, V symbols.
"""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sage.durable import write_file
from sage.hrm_core.config.model import TokenFront
from sage.hrm_core.model.candidates import candidates_of
from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.model.recurrence import Carry
from sage.hrm_core.solving.onnx_model import CARD_KEY, CONFIG_KEY, INPUTS, OUTPUTS, START_KEY
from sage.hrm_core.solving.task_card import TaskCard


class _Segment(nn.Module):
    """extra: an id for each puzzle or candidates, for a model that reads one; no model reads both."""

    def __init__(self, model: HRM) -> None:
        super().__init__()
        self.model = model
        self.is_deduction = model.config.heads == "deduction"

    def forward(
        self, z_H: Tensor, z_L: Tensor, inputs: Tensor, extra: Tensor | None = None
    ) -> tuple[Tensor | None, ...]:
        # A model without puzzle embeddings reads no ids: whatever stands here is not part of the graph.
        ids = inputs[:, 0] if extra is None or self.is_deduction else extra
        candidates = extra if self.is_deduction else None
        batch = TokenBatch(inputs=inputs, labels=inputs, puzzle_ids=ids, candidates=candidates)
        carry, output = self.model.segment(Carry(z_H=z_H, z_L=z_L), batch)
        found = (carry.z_H, carry.z_L, output.logits, output.q_halt, output.q_continue)
        return (*found, output.keep, output.conflict) if self.is_deduction else found


def export_onnx(model: HRM, path: str | Path, *, card: TaskCard | None = None) -> None:
    """Write the file, in fp32. Needs the extra `export`. Minutes for 27 M parameters, seconds for small
    ones.
    """
    front = model.config.front
    if not isinstance(front, TokenFront):
        raise TypeError(f"front is a {type(front).__name__}: only a model behind a TokenFront is exported")
    need_onnx()
    plain = model.to_inference(torch.float32).cpu()
    plain.use_attention("sdpa")  # by name: the file must not depend on this machine's choice of a kernel
    is_deduction = model.config.heads == "deduction"
    extra = ["puzzle_ids"] if front.puzzle_emb_ndim else ["candidates"] if is_deduction else []
    names = [*INPUTS[:3], *extra]
    num_rows = torch.export.Dim("rows", min=1, max=1 << 20)
    with torch.no_grad(), quiet():
        program: Any = torch.onnx.export(
            _Segment(plain).eval(),
            _example(plain, front),
            dynamo=True,
            input_names=names,
            output_names=list(OUTPUTS if is_deduction else OUTPUTS[:5]),
            dynamic_shapes=tuple({0: num_rows} for _ in names),
            verbose=False,
        )
    proto = program.model_proto
    fold_transposes(proto)
    strip_traces(proto)
    _describe(proto, model, card)
    save_proto(proto, path)


def fold_transposes(proto: Any) -> None:
    """Replace each Transpose of a constant by a constant, because int8 quantization skips transposed
    weights.
    """
    numpy_helper: Any = importlib.import_module("onnx.numpy_helper")
    graph = proto.graph
    constants = {each.name: each for each in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type != "Transpose" or node.input[0] not in constants:
            kept.append(node)
            continue
        perm = next(list(each.ints) for each in node.attribute if each.name == "perm")
        turned = numpy_helper.to_array(constants[node.input[0]]).transpose(perm)
        graph.initializer.append(numpy_helper.from_array(turned.copy(), node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in graph.node for name in node.input} | {each.name for each in graph.output}
    unused = [each for each in graph.initializer if each.name not in used]
    for each in unused:
        graph.initializer.remove(each)


def strip_traces(proto: Any) -> None:
    """Remove the source files and lines that the exporter records for every node: they exceed the node in
    size.
    """
    graph = proto.graph
    for each in (*graph.node, *graph.input, *graph.output, *graph.initializer, graph):
        del each.metadata_props[:]
        each.doc_string = ""
    del graph.value_info[:]  # intermediate shapes, some of removed nodes; a reader infers them


def save_proto(proto: Any, path: str | Path) -> None:
    """Write the file complete or not at all."""
    write_file(Path(path), proto.SerializeToString())


def _example(model: HRM, front: TokenFront) -> tuple[Tensor, ...]:
    """Two rows of the inputs that the graph has; their values do not matter."""
    carry = model.initial_carry(2)
    inputs = torch.zeros(2, front.seq_len, dtype=torch.int32)  # (B, L)
    if front.puzzle_emb_ndim:
        return carry.z_H, carry.z_L, inputs, torch.full((2,), -1, dtype=torch.int32)  # (B,)
    if model.config.heads == "deduction":
        return carry.z_H, carry.z_L, inputs, candidates_of(inputs, front)  # (B, L, K)
    return carry.z_H, carry.z_L, inputs


def _describe(proto: Any, model: HRM, card: TaskCard | None) -> None:
    start = {"z_H": model.inner.H_init.tolist(), "z_L": model.inner.L_init.tolist()}  # sync: once, at export
    metadata: dict[str, Any] = {CONFIG_KEY: model.config.to_plain(), START_KEY: start}
    if card is not None:
        metadata[CARD_KEY] = {"task": card.task, "options": dict(card.options), "trained": dict(card.trained)}
    for key, value in metadata.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)


def need_onnx() -> None:
    from importlib.util import find_spec

    for module in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(module) is None:
            raise ImportError(f"{module} is not installed: pip install 'sage-runtime[export]'")


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the exporters' warnings about torchvision and their own future versions."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
