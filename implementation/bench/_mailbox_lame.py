"""A peer that fails, for tests of the run around it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

from _mailbox_ends import RecordEnds, Role, TensorEnds
from _mailbox_stdlib import PipePeer


@dataclass(frozen=True)
class LamePeer(PipePeer):
    """A pipe whose far process cannot open its end ("lame"), or dies when tensors are opened ("dead")."""

    name: Literal["lame", "dead"] = "lame"

    def records(self, role: Role, wiring: Any, stack: ExitStack) -> RecordEnds:
        if role == "far" and self.name == "lame":
            raise OSError("no such thing here")
        return PipePeer.records(self, role, wiring, stack)

    def tensors(self, role: Role, wiring: Any, num_bytes: int, stack: ExitStack) -> TensorEnds:
        if role == "far" and self.name == "dead":
            os._exit(1)
        return PipePeer.tensors(self, role, wiring, num_bytes, stack)
