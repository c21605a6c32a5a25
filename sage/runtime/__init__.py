"""Floor 4: the loop. Trust, fusion, scheduling, the reasoner, practice and sleep.

The public names load on first use: importing this package loads no torch.
"""

from typing import TYPE_CHECKING

from sage.lazy import lazy_face

if TYPE_CHECKING:
    from sage.runtime.config import RuntimeConfig
    from sage.runtime.inputs import LoopInputs
    from sage.runtime.loop import Loop
    from sage.runtime.report import Event, Instrument, SleepReport, TickFacts, TickReport

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Event": "sage.runtime.report",
        "Instrument": "sage.runtime.report",
        "Loop": "sage.runtime.loop",
        "LoopInputs": "sage.runtime.inputs",
        "RuntimeConfig": "sage.runtime.config",
        "SleepReport": "sage.runtime.report",
        "TickFacts": "sage.runtime.report",
        "TickReport": "sage.runtime.report",
    },
)

__all__ = [
    "Event",
    "Instrument",
    "Loop",
    "LoopInputs",
    "RuntimeConfig",
    "SleepReport",
    "TickFacts",
    "TickReport",
]
