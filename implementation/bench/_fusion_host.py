"""Trust of the host's own sources over a recorded hour, without and with faults put into it.

`recordings/host_2cores_3720s.npz` holds cpu, ram, disk, network and process of a machine with two cores, five
readings a second, in the units of the sensors: for each source an array (channels, readings), and the
milliseconds between readings in `<source>__ms`. Compilers, trainers, nights, writes and memory blocks begin
and end in it, and nothing is wrong. The mantissa is rounded to 10 bits (ram: 16). Fusion and trust are those
of the loop, with contexts and entity memory as in the default configuration; the model's correction is left
out, and every source is attended in every tick. A fault that changes no reading within 10 s is not counted: a
stuck processor load stands at 1 by itself.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness
import numpy as np

from sage.mailbox.tensor_spec import TensorSpec
from sage.memory.contexts import OnlineContexts
from sage.memory.stores.entities import EntityMemory
from sage.runtime.channels.layout import Layout
from sage.runtime.config import TrustConfig
from sage.runtime.scheduling.skips import ATTENDED
from sage.runtime.tick.context_trust import ContextTrust
from sage.runtime.tick.fusion import Fused, Fusion, Scene
from sage.runtime.tick.memory_writer import KEY_DIM, projections
from sage.runtime.tick.senses import Gathered
from sage.runtime.trust.estimator import TrustEstimator
from sage.sensors.contract import SensorSpec

HOUR = Path(__file__).parent / "recordings" / "host_2cores_3720s.npz"
RATE_HZ = 10.0
NUM_CONTEXTS = 8  # as in configs/default.yaml
FAULTS = ("stuck", "bias", "drift", "noise", "spikes", "delay")
FAULT_SECS = 10.0
SIZE = 4.0  # of a fault, in standard deviations of the readings before it
DELAY_SECS = 2.0
SPIKE_EVERY = 5  # readings
HEALTHY, FAULTY = 0.7, 0.5  # trust
JUDGED_SECS = 60.0
ONSETS = tuple(range(300, 3700, 240))  # seconds
QUICK_SECS, QUICK_ONSETS = 420.0, (300,)
#: Source -> the range that its sensor declares.
RANGES = {
    "cpu": (0.0, 1.0),
    "ram": (0.0, 1.0),
    "disk": (0.0, None),
    "network": (0.0, None),
    "process": (0.0, None),
}
#: Source -> its times in s (T,) and readings (T, channels).
Recording = dict[str, tuple[np.ndarray, np.ndarray]]


def load_hour(path: Path = HOUR) -> Recording:
    with np.load(path, allow_pickle=False) as arrays:
        names = [name for name in arrays.files if not name.endswith("__ms")]
        return {name: (np.cumsum(arrays[f"{name}__ms"]) * 1e-3, arrays[name].T.copy()) for name in names}


@dataclass(frozen=True, slots=True)
class Held:
    """A reading in the place of a mailbox's lease."""

    array: np.ndarray

    def release(self) -> None:
        """Nothing is held."""


class Replay:
    """The fusion and the trust of a loop at 10 Hz over a recording.

    by_context: trust moves by the sources' records where another context begins.  readings: what the sources
    deliver; a copy with a fault may be put in its place.
    """

    def __init__(self, recording: Recording, *, by_context: bool = TrustConfig().by_context) -> None:
        self.readings = {name: values for name, (_, values) in recording.items()}
        self.times = {name: times for name, (times, _) in recording.items()}
        specs = [_spec(name, times, values) for name, (times, values) in recording.items()]
        self.layout = Layout.of(specs)
        self.fusion = Fusion(self.layout)
        self.trust = TrustEstimator(len(specs), TrustConfig())
        self._key = projections(self.layout)[0]
        self.contexts = OnlineContexts(NUM_CONTEXTS, KEY_DIM)
        self.entities = EntityMemory(NUM_CONTEXTS)
        self.context_trust = ContextTrust(list(recording), self.entities, is_enabled=by_context)
        self.num_ticks = 0
        self._captured_ns = np.full(len(specs), -1, dtype=np.int64)
        self._next = [0] * len(specs)

    @property
    def now(self) -> float:
        """Seconds since the start of the recording."""
        return self.num_ticks / RATE_HZ

    def step(self) -> None:
        """One tick; of several new readings of a source the last is used, as in the loop."""
        self.num_ticks += 1
        fresh = np.zeros(len(self._next), dtype=bool)
        leases: dict[int, Any] = {}
        for source, (name, times) in enumerate(self.times.items()):
            after = int(np.searchsorted(times, self.now, side="right"))
            if after > self._next[source]:
                self._next[source] = after
                leases[source] = Held(self.readings[name][after - 1])
                self._captured_ns[source] = round(times[after - 1] * 1e9)
                fresh[source] = True
        self._judge(fresh, leases)

    def _judge(self, fresh: np.ndarray, leases: dict[int, Any]) -> None:
        ones, usable, trust = np.ones(len(fresh)), self._captured_ns >= 0, self.trust.trust
        weight = np.where(usable, trust, 0.0)
        gathered = Gathered(
            fresh=fresh,
            captured_ns=self._captured_ns.copy(),
            quality=ones,
            confidence=ones,
            states=[],
            leases=leases,
        )
        scene = Scene(
            age_ns=np.where(usable, round(self.now * 1e9) - self._captured_ns, -1),
            usable=usable,
            trust=trust,
            chosen=fresh,
            weight=weight / max(weight.sum(), 1e-12),
            skips=np.full(len(fresh), ATTENDED),
        )
        fused = self.fusion.fuse(self.num_ticks, gathered, scene, self.trust.noise)
        self.trust.update(self.fusion.evidence(fused, fused.estimate))
        context = self.context_of(fused)
        self.entities.judge(list(self.times), self.trust.verdict, context)
        self.context_trust.follow(context, self.trust)
        self.fused = fused

    @property
    def num_contexts(self) -> int:
        return len(self.contexts)

    def context_of(self, fused: Fused) -> int:
        """As memory finds it."""
        return self.contexts.assign(self._key.dot(fused.percept.values))

    def fork(self) -> Replay:
        """A copy that continues from here on its own; times and readings are shared."""
        compiled = (self.trust._step, self.trust._bound)  # a compiled function cannot be copied
        constant = (self.times, self.layout, *compiled, *self.readings.values(), *sys.modules.values())
        return copy.deepcopy(self, {id(each): each for each in constant})


def _spec(name: str, times: np.ndarray, values: np.ndarray) -> SensorSpec:
    return SensorSpec(
        name=name,
        modality="physical",
        tensor=TensorSpec(shape=(values.shape[1],)),
        period_ns=int(np.median(np.diff(times)) * 1e9),
        observes=(name, "1"),
        channels=tuple(f"{name}{channel}" for channel in range(values.shape[1])),
        is_bounded=True,
        ranges=(RANGES.get(name, (None, None)),) * values.shape[1],
    )


def spoil(times: np.ndarray, values: np.ndarray, fault: str, at: float) -> np.ndarray:
    """A copy of values (T, channels) with the fault from `at` seconds on.

    Sizes are in standard deviations of the channel before that: `bias` is 4 of them, `drift` grows to 4
    within 10 s, `noise` is Gaussian with 4, every fifth reading of `spikes` is 4 off; `delay` is 2 s.
    """
    spoiled, first = values.copy(), int(np.searchsorted(times, at))
    size = SIZE * values[:first].std(axis=0)
    num = len(values) - first
    if fault == "stuck":
        spoiled[first:] = values[first]
    elif fault == "bias":
        spoiled[first:] += size
    elif fault == "drift":
        spoiled[first:] += size * ((times[first:] - at) / FAULT_SECS)[:, None]
    elif fault == "noise":
        spoiled[first:] += size * np.random.default_rng(0).standard_normal((num, values.shape[1]))
    elif fault == "spikes":
        spoiled[first::SPIKE_EVERY] += size
    else:
        before = np.searchsorted(times, times[first:] - DELAY_SECS, side="right") - 1
        spoiled[first:] = values[np.maximum(before, 0)]
    return spoiled


@dataclass(slots=True)
class Hour:
    """longest_low: source -> longest time in s below 0.7 with nothing wrong.  total_low: its sum.
    judged_at: source -> s, None where it was never judged.  secs: replayed.
    reached: source -> fault -> onset in s -> the time in s to below 0.5, None where that took over 10 s. A
    fault that changes no reading within 10 s (a source stands still there by itself) is left out.
    low_times: source -> begin and end in s of each time below 0.7.
    """

    secs: float
    longest_low: dict[str, float] = field(default_factory=dict)
    total_low: dict[str, float] = field(default_factory=dict)
    judged_at: dict[str, float | None] = field(default_factory=dict)
    reached: dict[str, dict[str, dict[float, float | None]]] = field(default_factory=dict)
    low_times: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def run_hour(recording: Recording, onsets: Sequence[float], secs: float | None = None) -> Hour:
    """Replay without a fault; at each onset, a copy with every fault in every source beside it."""
    end = max(times[-1] for times, _ in recording.values()) if secs is None else secs
    replay, found, names = Replay(recording), Hour(secs=float(end)), list(recording)
    found.reached = {name: {fault: {} for fault in FAULTS} for name in names}
    low, judged = [], []
    owed = sorted(onsets)
    while replay.now < end:
        if owed and replay.now >= owed[0]:
            at = owed.pop(0)
            for name in names:
                for fault in FAULTS:
                    spoiled = spoil(*recording[name], fault, at)
                    if changes(recording, name, spoiled, at):
                        found.reached[name][fault][at] = _secs_to_low(replay, name, spoiled, at)
        replay.step()
        low.append(replay.trust.trust < HEALTHY)
        judged.append(replay.trust.is_judged)
    for source, name in enumerate(names):
        is_low, is_judged = np.array(low)[:, source], np.array(judged)[:, source]
        found.low_times[name] = [(begin / RATE_HZ, stop / RATE_HZ) for begin, stop in runs(is_low)]
        found.longest_low[name] = max((stop - begin for begin, stop in found.low_times[name]), default=0.0)
        found.total_low[name] = float(is_low.sum() / RATE_HZ)
        found.judged_at[name] = float((is_judged.argmax() + 1) / RATE_HZ) if is_judged.any() else None
    return found


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """First index of each run of True in flags (T,), and the index after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def changes(recording: Recording, name: str, spoiled: np.ndarray, at: float) -> bool:
    """Whether a fault changes a reading within 10 s."""
    times, values = recording[name]
    span = slice(*np.searchsorted(times, (at, at + FAULT_SECS)))
    return not np.array_equal(spoiled[span], values[span])


def _secs_to_low(replay: Replay, name: str, spoiled: np.ndarray, at: float) -> float | None:
    faulty, source = replay.fork(), list(replay.readings).index(name)
    if faulty.trust.trust[source] < FAULTY:
        return None  # a source that was distrusted before shows nothing of the fault
    faulty.readings = {**replay.readings, name: spoiled}
    while faulty.now < at + FAULT_SECS:
        faulty.step()
        if faulty.trust.trust[source] < FAULTY:
            return faulty.now - at
    return None


def share_reached(found: Hour, is_counted: Callable[[str, str], bool] = lambda name, fault: True) -> float:
    """Share of the onsets after which trust fell below 0.5 within 10 s."""
    cases = [
        each
        for name, by_fault in found.reached.items()
        for fault, secs in by_fault.items()
        if is_counted(name, fault)
        for each in secs.values()
    ]
    return float(np.mean([each is not None for each in cases])) if cases else float("nan")


def host_tables(found: Hour) -> list[harness.TextTable]:
    """Of the whole recording, and of its second half alone."""
    middle = found.secs / 2
    parts = {"whole": (found, 0.0), "second half": (second_half(found), middle)}
    return [
        harness.TextTable(
            title=f"{part}. Healthy: judged after, longest time and share of time below 0.7; "
            "faulty: onsets after which trust was below 0.5 within 10 s, of those that changed a reading",
            columns=("source", "judged, s", "longest, s", "share, %", *FAULTS),
            rows=tuple(_row(each, name, each.secs - start) for name in each.longest_low),
        )
        for part, (each, start) in parts.items()
    ]


def second_half(found: Hour) -> Hour:
    """What was found after the middle of the recording."""
    middle = found.secs / 2
    low = {
        name: [(max(begin, middle), stop) for begin, stop in times if stop > middle]
        for name, times in found.low_times.items()
    }
    lengths = {name: [stop - begin for begin, stop in times] for name, times in low.items()}
    return Hour(
        secs=found.secs,
        longest_low={name: max(each, default=0.0) for name, each in lengths.items()},
        total_low={name: float(sum(each)) for name, each in lengths.items()},
        judged_at=found.judged_at,
        reached={
            name: {
                fault: {at: secs for at, secs in onsets.items() if at >= middle}
                for fault, onsets in by_fault.items()
            }
            for name, by_fault in found.reached.items()
        },
        low_times=low,
    )


def _row(found: Hour, name: str, secs: float) -> tuple[str, ...]:
    return (
        name,
        "never" if found.judged_at[name] is None else f"{found.judged_at[name]:.0f}",
        f"{found.longest_low[name]:.1f}",
        f"{100 * found.total_low[name] / secs:.1f}",
        *(_share(found.reached[name][fault]) for fault in FAULTS),
    )


def _share(reached: dict[float, float | None]) -> str:
    num = sum(secs is not None for secs in reached.values())
    return f"{num} of {len(reached)}" if reached else "-"


def host_bars(found: Hour, *, is_quick: bool) -> list[harness.Bar]:
    """A quick run is too short for the bars of the hour."""
    longest = max(found.longest_low.values())
    known = [at for at in found.judged_at.values() if at is not None and at <= JUDGED_SECS]
    bars = [harness.Bar(name="healthy: longest time below 0.7, s", value=longest, bar=5.0, better="lower")]
    judged = len(known) / len(found.judged_at)
    bars.append(
        harness.Bar(name="share of sources judged within 60 s", value=judged, bar=0.8, better="higher")
    )
    for fault in FAULTS:
        value = share_reached(found, lambda _, kind, fault=fault: kind == fault)
        title = f"{fault}: share below 0.5 within 10 s"
        bars.append(harness.Bar(name=title, value=value, bar=1.0, better="higher"))
    if not is_quick:
        return bars
    return [harness.Bar(name=bar.name, value=None, bar=bar.bar, better=bar.better) for bar in bars]
