"""Trust of the host's own sources over a recorded hour, without and with faults put into it.

`recordings/host_2cores_3720s.npz` holds cpu, ram, disk, network and process of a machine with two cores, five
readings a second, in the units of the sensors: for each source an array (channels, readings), and the
milliseconds between readings in `<source>__ms`. Compilers, trainers, nights, writes and memory blocks begin
and end in it, and nothing is wrong. The mantissa is rounded to 10 bits (ram: 16). Fusion and trust are those
of the loop; the model's correction is left out, and every source is attended in every tick.
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
from sage.runtime.channels.layout import Layout
from sage.runtime.config import TrustConfig
from sage.runtime.prediction.gate import OnlineGate
from sage.runtime.prediction.predictor import Predictor
from sage.runtime.tick.fusion import Fusion, Scene
from sage.runtime.tick.senses import Gathered
from sage.runtime.trust.estimator import TrustEstimator
from sage.sensors.contract import SensorSpec

HOUR = Path(__file__).parent / "recordings" / "host_2cores_3720s.npz"
RATE_HZ = 10.0
FAULTS = ("stuck", "bias", "drift", "noise", "spikes", "delay")
FAULT_SECS = 10.0
SIZE = 4.0  # of a fault, in standard deviations of the readings before it
DELAY_SECS = 2.0
SPIKE_EVERY = 5  # readings
HEALTHY, FAULTY = 0.7, 0.5  # trust
JUDGED_SECS = 60.0
ONSETS = tuple(range(300, 3700, 240))  # seconds
QUICK_SECS, QUICK_ONSETS = 420.0, (300,)
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

    readings: what the sources deliver; a copy with a fault may be put in its place.
    """

    def __init__(self, recording: Recording) -> None:
        self.readings = {name: values for name, (_, values) in recording.items()}
        self.times = {name: times for name, (times, _) in recording.items()}
        specs = [_spec(name, times, values) for name, (times, values) in recording.items()]
        self.layout = Layout.of(specs)
        self.fusion = Fusion(self.layout)
        self.fusion.predictor = Predictor(self.layout, is_compiled=False)  # compiled ones cannot be copied
        self.fusion.level_gate = OnlineGate(self.layout.num_channels, is_compiled=False)
        self.trust = TrustEstimator(len(specs), TrustConfig(), is_compiled=False)
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
            statistics=[],
            leases=leases,
        )
        scene = Scene(
            age_ns=np.where(usable, round(self.now * 1e9) - self._captured_ns, -1),
            usable=usable,
            trust=trust,
            chosen=fresh,
            weight=weight / max(weight.sum(), 1e-12),
            skipped=("",) * len(fresh),
        )
        fused = self.fusion.fuse(self.num_ticks, gathered, scene, self.trust.noise)
        self.trust.update(self.fusion.evidence(fused, fused.estimate))

    def fork(self) -> Replay:
        """A copy that continues from here on its own; times and readings are shared."""
        constant = (self.times, self.layout, *self.readings.values(), *sys.modules.values())
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
    reached: source -> fault -> for each onset the time in s to below 0.5, None where that took over 10 s.
    """

    secs: float
    longest_low: dict[str, float] = field(default_factory=dict)
    total_low: dict[str, float] = field(default_factory=dict)
    judged_at: dict[str, float | None] = field(default_factory=dict)
    reached: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)


def run_hour(recording: Recording, onsets: Sequence[float], secs: float | None = None) -> Hour:
    """Replay without a fault; at each onset, a copy with every fault in every source beside it."""
    end = max(times[-1] for times, _ in recording.values()) if secs is None else secs
    replay, found, names = Replay(recording), Hour(secs=float(end)), list(recording)
    found.reached = {name: {fault: [] for fault in FAULTS} for name in names}
    low, judged = [], []
    owed = sorted(onsets)
    while replay.now < end:
        if owed and replay.now >= owed[0]:
            at = owed.pop(0)
            for name in names:
                for fault in FAULTS:
                    found.reached[name][fault].append(_secs_to_low(replay, recording, name, fault, at))
        replay.step()
        low.append(replay.trust.trust < HEALTHY)
        judged.append(replay.trust.is_judged)
    for source, name in enumerate(names):
        is_low, is_judged = np.array(low)[:, source], np.array(judged)[:, source]
        found.longest_low[name] = longest_run(is_low) / RATE_HZ
        found.total_low[name] = float(is_low.sum() / RATE_HZ)
        found.judged_at[name] = float((is_judged.argmax() + 1) / RATE_HZ) if is_judged.any() else None
    return found


def longest_run(flags: np.ndarray) -> int:
    """Length of the longest run of True in flags (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _secs_to_low(replay: Replay, recording: Recording, name: str, fault: str, at: float) -> float | None:
    faulty, source = replay.fork(), list(recording).index(name)
    if faulty.trust.trust[source] < FAULTY:
        return None  # a source that was distrusted before shows nothing of the fault
    times, values = recording[name]
    faulty.readings = {**replay.readings, name: spoil(times, values, fault, at)}
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
        for each in secs
    ]
    return float(np.mean([each is not None for each in cases])) if cases else float("nan")


def host_tables(found: Hour) -> list[harness.TextTable]:
    rows = [
        (
            name,
            "never" if found.judged_at[name] is None else f"{found.judged_at[name]:.0f}",
            f"{found.longest_low[name]:.1f}",
            f"{100 * found.total_low[name] / found.secs:.1f}",
            *(_share(found, name, fault) for fault in FAULTS),
        )
        for name in found.longest_low
    ]
    return [
        harness.TextTable(
            title="Healthy: judged after, longest time and share of time below 0.7; "
            "faulty: share of the onsets below 0.5 within 10 s",
            columns=("source", "judged, s", "longest, s", "share, %", *FAULTS),
            rows=tuple(rows),
        )
    ]


def _share(found: Hour, name: str, fault: str) -> str:
    share = share_reached(found, lambda source, kind: (source, kind) == (name, fault))
    return "-" if np.isnan(share) else f"{100 * share:.0f}%"


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
