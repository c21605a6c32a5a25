"""SAGE: a runtime for machines that sense, reason, remember and sleep.

The public names load on first use: `import sage` loads neither torch nor numpy. The floors are the folders:
`mailbox` and `hrm_core`, then `sensors`, `memory`, `related_work` and `gr00t_integration`, `runtime`, `app`.
A floor imports only floors below it.
"""

from typing import TYPE_CHECKING

from sage.about import __version__
from sage.lazy import lazy_face

if TYPE_CHECKING:
    from sage.app.config.sage_config import SageConfig, load_config
    from sage.app.models.plots.visualizer import HRMVisualizer
    from sage.app.session.build import Run, build_run
    from sage.errors import DataError, InputError, SageError
    from sage.hrm_core.config.model import ModelConfig
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.solving.adapter import HRMAdapter
    from sage.hrm_core.solving.inference import Answer, HRMInference, solve
    from sage.hrm_core.training.config import TrainConfig
    from sage.hrm_core.training.hrm_trainer import HRMTrainer
    from sage.hrm_core.training.puzzle_dataset import EnhancedDatasetLoader, PuzzleDataset, SudokuDataset
    from sage.hrm_core.training.tracker import ExperimentTracker
    from sage.hrm_core.training.trainer import Trainer
    from sage.runtime.loop import Loop
    from sage.runtime.report import Instrument, TickReport
    from sage.sensors.contract import Effector, Reading, Sensor, SensorSpec

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "HRM": "sage.hrm_core.model.hrm",
        "Answer": "sage.hrm_core.solving.inference",
        "DataError": "sage.errors",
        "Effector": "sage.sensors.contract",
        "HRMAdapter": "sage.hrm_core.solving.adapter",
        "HRMInference": "sage.hrm_core.solving.inference",
        "HRMVisualizer": "sage.app.models.plots.visualizer",
        "EnhancedDatasetLoader": "sage.hrm_core.training.puzzle_dataset",
        "ExperimentTracker": "sage.hrm_core.training.tracker",
        "HRMTrainer": "sage.hrm_core.training.hrm_trainer",
        "PuzzleDataset": "sage.hrm_core.training.puzzle_dataset",
        "SudokuDataset": "sage.hrm_core.training.puzzle_dataset",
        "InputError": "sage.errors",
        "Instrument": "sage.runtime.report",
        "Loop": "sage.runtime.loop",
        "ModelConfig": "sage.hrm_core.config.model",
        "Reading": "sage.sensors.contract",
        "Run": "sage.app.session.build",
        "SageConfig": "sage.app.config.sage_config",
        "SageError": "sage.errors",
        "Sensor": "sage.sensors.contract",
        "SensorSpec": "sage.sensors.contract",
        "TickReport": "sage.runtime.report",
        "TrainConfig": "sage.hrm_core.training.config",
        "Trainer": "sage.hrm_core.training.trainer",
        "build_run": "sage.app.session.build",
        "load_config": "sage.app.config.sage_config",
        "solve": "sage.hrm_core.solving.inference",
    },
)

__all__ = [
    "HRM",
    "Answer",
    "DataError",
    "Effector",
    "EnhancedDatasetLoader",
    "ExperimentTracker",
    "HRMAdapter",
    "HRMInference",
    "HRMTrainer",
    "HRMVisualizer",
    "InputError",
    "Instrument",
    "Loop",
    "ModelConfig",
    "PuzzleDataset",
    "Reading",
    "Run",
    "SageConfig",
    "SageError",
    "Sensor",
    "SensorSpec",
    "SudokuDataset",
    "TickReport",
    "TrainConfig",
    "Trainer",
    "__version__",
    "build_run",
    "load_config",
    "solve",
]
