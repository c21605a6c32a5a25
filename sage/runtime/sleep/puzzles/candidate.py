"""The candidate of an accepted night of a trainer's folder, which the next run there takes by itself.

candidate.safetensors: the weights of all levels, the digest of those that the night began with, the report.
Invariant: the file is complete in itself, so that it can be copied back alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sage.durable import Contents, DamagedFile, read_checked, write_checked
from sage.runtime.report import SleepReport, to_plain
from sage.runtime.sleep.consolidate import report_of

FILE, SCHEMA = "candidate.safetensors", "solver_candidate/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """made_from: digest (weights_digest) of the weights that the night began with."""

    weights: Mapping[str, Tensor]
    made_from: str
    report: SleepReport


def write_candidate(folder: Path, candidate: Candidate) -> None:
    """OSError where the disk is full: no file is left."""
    arrays = {name: tensor.numpy() for name, tensor in candidate.weights.items()}
    scalars = {"made_from": candidate.made_from, "report": to_plain(candidate.report)}
    write_checked(folder / FILE, Contents(arrays=arrays, scalars=scalars), schema=SCHEMA)


def read_candidate(folder: Path) -> Candidate:
    """FileNotFoundError where there is none; other errors as `sage.durable.read_checked`."""
    contents = read_checked(folder / FILE, schema=SCHEMA)
    try:
        return Candidate(
            weights={name: torch.from_numpy(np.array(array)) for name, array in contents.arrays.items()},
            made_from=contents.scalars["made_from"],
            report=report_of(contents.scalars["report"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFile(f"{folder / FILE} is damaged ({error}): run the night again") from error
