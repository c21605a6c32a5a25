"""The steps of the proof, in order. A part of the project adds one line here and one script beside this file.

A step is `python step_<name>.py --out FOLDER [--fake]`: it prints what it likes and, as its last line, the
JSON object of
`verdict.Verdict`. Invariant: a step runs in a process of its own, under a time limit of its own, and all
limits together stay below TOTAL_SECS.
"""

from __future__ import annotations

from dataclasses import dataclass

TOTAL_SECS = 570


@dataclass(frozen=True)
class Step:
    """wants: what it shows, for people.  limit_secs: it is ended then, and has failed."""

    name: str
    limit_secs: int
    wants: str


STEPS: tuple[Step, ...] = (
    Step("environment", 15, "what this machine has"),
    Step("mailbox", 70, "rings and focus mailboxes on the card conform"),
    Step("suite", 60, "the mailboxes' own test suite, its backend `cuda` included"),
    Step("ipc", 30, "one pool in two processes; a dead producer holds up no stream"),
    Step("unified", 30, "memory of two processes and the card, without a copy; a pool between them"),
    Step("bench", 35, "the bars of the CUDA mailboxes"),
    Step("sanitizer", 35, "compute-sanitizer finds nothing"),
    Step("speed", 80, "the reasoning models' speed, beside the published forward"),
    Step("trust", 45, "trust in torch equals the processor's, recorded as a graph"),
    Step("training", 75, "models train on the card"),
    Step("loop", 95, "the whole loop runs on the card: practice, a night, its copies"),
)
