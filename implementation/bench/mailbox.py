"""Mailboxes between two Python processes, beside the peers: records, tensors in place and copied, faults.

All pairs of processes alternate in rounds; each process of a pair is pinned to its own half of the cores. A
latency is half a round trip, including send and receive, view and lease; a rate is from the first send to the
last record in the other process. A figure is the median over the rounds of a round's p50 or p99; a ratio is
the median of the rounds' ratios. "by 64": our bulk calls, with every byte checked. Peers have no bulk call:
one bar takes their best rate of one record a message, another their best rate of 64 records packed by us into
one message, checked in the same way; iceoryx2's are checked in its own memory, without a copy, and the rings
have as many bytes of room. "copied in" is the cost of the sender's call (loan, copy, publish) over
numpy.copyto to private memory at the same rate. Zero copy is shown by a write to the page after the hand-over
that the other side reads. Fan-out, not in --quick: one producer to 1, 4 and 16 subscribers, and over 1 to 64
topics, ours alone. Kills: at random moments of a stream with every byte checked, and at chosen points,
where the time is from the kill until the survivor continues.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import harness
import mailbox_cuda
from _mailbox_ends import Peer, is_installed
from _mailbox_fan import fans_table, measure_fans
from _mailbox_faults import FaultPlan, run_faults
from _mailbox_iceoryx import IceoryxPeer
from _mailbox_ours import OurPeer
from _mailbox_proof import prove_zero_copy
from _mailbox_ray import RayPeer
from _mailbox_report import best_ratio, describe, make_bars, tables
from _mailbox_rounds import PACKED_64, Plan, run_rounds
from _mailbox_stdlib import PipePeer, QueuePeer, TorchPeer, ZmqPeer
from _mailbox_zenoh import ZenohPeer

#: Each with whether its tensors are measured too: spinning changes little for them.
PEERS: tuple[tuple[Peer, bool], ...] = (
    (OurPeer("spin"), False),
    (IceoryxPeer("spin"), False),
    (OurPeer("block"), True),
    (IceoryxPeer("event"), True),
    (PipePeer(), True),
    (OurPeer("block", num_idle=8), False),
    (QueuePeer(), True),
    (ZmqPeer(), True),
    (ZenohPeer(), True),
    (TorchPeer(), True),
)
SLOW_TO_START: tuple[tuple[Peer, bool], ...] = ((RayPeer(), True),)  # its cluster takes a quarter of a minute
PACKAGES = ("iceoryx2", "pyzmq", "eclipse-zenoh", "numba", "ray")
FULL, QUICK = Plan(num_rounds=5, slice_secs=0.25), Plan(num_rounds=2, slice_secs=0.03)


def main() -> None:
    arguments = harness.argument_parser(__doc__).parse_args()
    started_secs = time.perf_counter()
    peers = PEERS if arguments.quick else PEERS + SLOW_TO_START
    absent = [peer.name for peer, _ in peers if not is_installed(peer)]
    absent += [f"{peer.name} (left out of --quick)" for peer, _ in SLOW_TO_START if arguments.quick]
    tally, failed = run_rounds(
        [each for each in peers if is_installed(each[0])], QUICK if arguments.quick else FULL
    )
    sweep()
    proof = prove_zero_copy()
    fans = [] if arguments.quick else measure_fans()
    faults = run_faults(FaultPlan.quick() if arguments.quick else FaultPlan())
    cuda = mailbox_cuda.measure(is_quick=arguments.quick)
    theirs = [peer.name for peer, _ in PEERS if not isinstance(peer, OurPeer)]
    bars = make_bars(tally, proof, faults, cuda, theirs)
    results = {
        "calibration": harness.calibrate() | {"wall_secs": time.perf_counter() - started_secs},
        "absent": absent,
        "failed": failed,
        "rows": describe(tally),
        "by_64_over_best_peer_packed": best_ratio(tally, PACKED_64, theirs),
        "zero_copy": proof,
        "fan_out": fans,
        "faults": faults.describe(),
        "cuda": cuda,
    }
    whole = harness.document("mailbox", results, bars, peers=PACKAGES)
    shown = [*tables(tally, absent, failed, faults), *([fans_table(fans)] if fans else [])]
    shown.append(harness.bars_table(bars))
    harness.finish(whole, shown, is_saved=arguments.save, notes=__doc__ or "")


def sweep() -> None:
    """A station that was killed could not take its names away."""
    for path in Path("/dev/shm").glob(f"sage.bench-{os.getpid()}-*"):
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
