"""Reasoning models: HRM and TRM as two settings of one recurrence, for puzzles, sequences and sensors.

The public names load on first use: importing this package imports no torch. Invariant: recurrent state is
passed in and returned (`carry`), never stored on a module.
"""

from typing import TYPE_CHECKING

from sage.lazy import lazy_face

if TYPE_CHECKING:
    from sage.hrm_core.checkpoint.errors import CheckpointError
    from sage.hrm_core.config.model import ContinuousFront, ModelConfig, ObservationFront, TokenFront
    from sage.hrm_core.model.hrm import HRM, ACTState, TokenBatch
    from sage.hrm_core.models import build_model, load_model
    from sage.hrm_core.observation.model import ObservationModel
    from sage.hrm_core.solving.adapter import HRMAdapter
    from sage.hrm_core.solving.inference import Answer, HRMInference, solve
    from sage.hrm_core.solving.settings import SolveSettings
    from sage.hrm_core.solving.solver import Solver

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "HRM": "sage.hrm_core.model.hrm",
        "ACTState": "sage.hrm_core.model.hrm",
        "Answer": "sage.hrm_core.solving.inference",
        "CheckpointError": "sage.hrm_core.checkpoint.errors",
        "ContinuousFront": "sage.hrm_core.config.model",
        "HRMAdapter": "sage.hrm_core.solving.adapter",
        "HRMInference": "sage.hrm_core.solving.inference",
        "ModelConfig": "sage.hrm_core.config.model",
        "ObservationFront": "sage.hrm_core.config.model",
        "ObservationModel": "sage.hrm_core.observation.model",
        "SolveSettings": "sage.hrm_core.solving.settings",
        "Solver": "sage.hrm_core.solving.solver",
        "TokenBatch": "sage.hrm_core.model.hrm",
        "TokenFront": "sage.hrm_core.config.model",
        "build_model": "sage.hrm_core.models",
        "load_model": "sage.hrm_core.models",
        "solve": "sage.hrm_core.solving.inference",
    },
)

__all__ = [
    "HRM",
    "ACTState",
    "Answer",
    "CheckpointError",
    "ContinuousFront",
    "HRMAdapter",
    "HRMInference",
    "ModelConfig",
    "ObservationFront",
    "ObservationModel",
    "SolveSettings",
    "Solver",
    "TokenBatch",
    "TokenFront",
    "build_model",
    "load_model",
    "solve",
]
