"""An exported ONNX file in place of a model: `Solver(OnnxModel("sudoku9.onnx"), task)`.

Invariant: config and task come from the file; torch holds none of its weights.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.candidates import candidates_of
from sage.hrm_core.model.hrm import TokenBatch
from sage.hrm_core.model.recurrence import Carry, Output
from sage.hrm_core.solving.task_card import TaskCard

#: Names of the graph's inputs and outputs. `puzzle_ids` exists only for a model with puzzle embeddings,
#: `candidates`, `keep` and `conflict` only for one with deduction heads.
INPUTS = ("z_H", "z_L", "inputs", "puzzle_ids", "candidates")
OUTPUTS = ("next_z_H", "next_z_L", "logits", "q_halt", "q_continue", "keep", "conflict")
#: Keys of the file's metadata, whose values are JSON.
CONFIG_KEY = "sage.config"
START_KEY = "sage.start"
CARD_KEY = "sage.task"


class OnnxModel:
    """num_threads: of ONNX Runtime, 0 for all cores.  providers: as ONNX Runtime names them; the CPU by
    default.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        num_threads: int = 1,
        providers: tuple[str, ...] = ("CPUExecutionProvider",),
    ) -> None:
        try:
            onnxruntime: Any = importlib.import_module("onnxruntime")
        except ImportError as error:
            raise ImportError("onnxruntime is not installed: pip install 'sage-runtime[export]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=list(providers))
            metadata = self._session.get_modelmeta().custom_metadata_map
            self.config = ModelConfig.from_plain(json.loads(metadata[CONFIG_KEY]))
            start = json.loads(metadata[START_KEY])
            self._z_H, self._z_L = torch.tensor(start["z_H"]), torch.tensor(start["z_L"])  # (D,)
            self.card = TaskCard.from_plain(json.loads(metadata[CARD_KEY])) if CARD_KEY in metadata else None
            self._input_names = {each.name for each in self._session.get_inputs()}
            self._output_names = [each.name for each in self._session.get_outputs()]
        except (KeyError, ValueError, TypeError) as error:
            raise CheckpointError(
                f"{path}: not an ONNX file of SAGE: give one that `sage export` wrote"
            ) from error
        except Exception as error:  # ONNX Runtime's own errors share no base
            raise CheckpointError(
                f"{path}: ONNX Runtime cannot read it: {' '.join(str(error).split())[:160]}"
            ) from error

    def initial_carry(self, batch_size: int) -> Carry:
        rows = (batch_size, self.config.front.num_tokens, -1)
        return Carry(
            z_H=self._z_H.expand(rows).contiguous(), z_L=self._z_L.expand(rows).contiguous()
        )  # (B, S, D)

    def segment(self, carry: Carry, batch: TokenBatch) -> tuple[Carry, Output]:
        """One segment for every row."""
        given = {
            "z_H": carry.z_H,
            "z_L": carry.z_L,
            "inputs": batch.inputs.to(torch.int32),
            "puzzle_ids": batch.puzzle_ids.to(torch.int32),
        }
        if self.config.heads == "deduction":
            given["candidates"] = self._candidates(batch)
        feeds = {
            name: tensor.contiguous().numpy() for name, tensor in given.items() if name in self._input_names
        }
        results = self._session.run(self._output_names, feeds)
        found = dict(zip(self._output_names, map(torch.from_numpy, results)))
        output = Output(
            logits=found["logits"],
            q_halt=found["q_halt"],
            q_continue=found["q_continue"],
            keep=found.get("keep"),
            conflict=found.get("conflict"),
        )
        return Carry(z_H=found["next_z_H"], z_L=found["next_z_L"]), output

    def _candidates(self, batch: TokenBatch) -> Tensor:
        front = self.config.front
        assert isinstance(front, TokenFront)
        return candidates_of(batch.inputs, front) if batch.candidates is None else batch.candidates

    def wants_halt(self, output: Output) -> Tensor:
        """(B,) bool: HRM's rule halt > continue, or TRM's halt > 0."""
        assert output.q_halt is not None
        assert output.q_continue is not None
        return output.q_halt > (output.q_continue if self.config.has_q_continue else 0.0)
