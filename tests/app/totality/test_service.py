"""The service on a socket: the client, many clients at once, and a signal that ends it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra web is not installed")

from sage.app.cli.main import invoke
from sage.app.http.guard import Access
from sage.app.http.server import bind, build_server
from sage.app.totality.routes import OPEN_PATHS, RESTORE_PATH, Served, create_app
from sage.app.totality.server import TotalityOptions, open_served
from sage.errors import InputError
from sage.mailbox.clock import RealClock
from sage.related_work.totality.client import TotalityClient
from sage.related_work.totality.content import Slot
from sage.related_work.totality.errors import Conflict, ServiceUnavailable, UnknownId
from sage.related_work.totality.messages import (
    ActivateRequest,
    ImagineRequest,
    OpCall,
    RestoreRequest,
    SchemeDraft,
    SleepCycleRequest,
    Target,
    WriteRequest,
)
from sage.related_work.totality.read_query import ReadQuery
from sage.related_work.totality.store import TotalityStore
from sage.related_work.totality.wall_time import WallClock

TOKEN = "a-token-for-the-tests-alone"


@contextmanager
def serving(served: Served, **access: Any) -> Iterator[str]:
    """The url of a service in a thread."""
    given = {"token": TOKEN, "open_paths": OPEN_PATHS, "larger_bodies": {RESTORE_PATH: 64 << 20}, **access}
    with bind("127.0.0.1", 0) as listening:
        server = build_server(create_app(served, Access(**given)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def in_memory() -> Served:
    clock = WallClock(RealClock())
    return Served(store=TotalityStore(clock.now_ns), clock=clock)


def drafts(prefix: str, number: int) -> tuple[SchemeDraft, ...]:
    return tuple(
        SchemeDraft(id=f"{prefix}-{at}", label="thing", slots=(Slot(name="n", value=at),), activation=0.5)
        for at in range(number)
    )


def all_ids(client: TotalityClient) -> set[str]:
    found: set[str] = set()
    cursor = None
    while True:
        page = client.read(ReadQuery(limit=1000, cursor=cursor))
        found |= page.activations.keys()
        cursor = page.cursor
        if cursor is None:
            return found


def test_the_client_does_all_that_the_service_can(tmp_path: Path) -> None:
    served = open_served(TotalityOptions(store=tmp_path / "store", has_examples=True))
    with serving(served) as url, TotalityClient(url, token=TOKEN) as client:
        assert client.health().status == "ok"
        assert all_ids(client) == {"grasp", "place", "base-scene"}
        saved = client.persist()
        assert client.write(WriteRequest(schemes=drafts("new", 2))).committed == ("new-0", "new-1")
        request = ImagineRequest(ops=(OpCall(op="recombine"),), seed_scheme_ids=("grasp", "new-1"), seed=0)
        created = client.imagine(request).created
        reply = client.activate(ActivateRequest(targets=(Target(id="grasp", delta=1.0),)))
        assert reply.activations["grasp"] == 1.0
        slept = client.sleep_cycle(SleepCycleRequest(ops=(OpCall(op="abstract"),)))
        assert slept.after.canvases == slept.before.canvases + 1
        assert {*created, *slept.created, "new-0", "base-scene"} <= all_ids(client)
        now = client.snapshot()
        client.restore(RestoreRequest(snapshot_id=saved.snapshot_id))
        assert all_ids(client) == {"grasp", "place", "base-scene"}
        client.restore(RestoreRequest(snapshot=now.snapshot, snapshot_id=now.snapshot_id))
        assert {*created, "new-0"} <= all_ids(client)
        assert client.read(ReadQuery(order="activation", scope="schemes", limit=1)).schemes[0].id == "grasp"


def test_the_clients_errors_are_the_stores() -> None:
    with serving(in_memory()) as url:
        with TotalityClient(url, token=TOKEN) as client:
            with pytest.raises(InputError, match="op teleport: unknown"):
                client.imagine(ImagineRequest(ops=(OpCall(op="teleport"),)))
            with pytest.raises(UnknownId):
                client.activate(ActivateRequest(targets=(Target(id="nobody", delta=1.0),)))
            with pytest.raises(Conflict, match="in memory only"):
                client.persist()
        with (
            TotalityClient(url, token="x" * 20) as other,
            pytest.raises(ServiceUnavailable, match="Authorization"),
        ):
            other.snapshot()
    with TotalityClient(url, token=TOKEN) as late, pytest.raises(ServiceUnavailable, match="no answer"):
        late.health()
    for wrong in ("ftp://x", "127.0.0.1:80", "http://x/totality"):
        with pytest.raises(InputError, match="give http://HOST:PORT"):
            TotalityClient(wrong)


def test_100_clients_and_10000_schemes_lose_nothing(tmp_path: Path) -> None:
    served = open_served(TotalityOptions(store=tmp_path / "store"))
    for at in range(10):
        served.store.write(WriteRequest(schemes=drafts(f"first{at}", 1000)))

    def work(number: int) -> set[str]:
        done: set[str] = set()
        with TotalityClient(url, token=TOKEN, timeout_secs=60.0) as client:
            for turn in range(4):
                done |= set(client.write(WriteRequest(schemes=drafts(f"c{number}-{turn}", 2))).committed)
                call = OpCall(op="vary_slot")
                request = ImagineRequest(ops=(call,), seed_scheme_ids=(f"c{number}-{turn}-0",), count=1)
                done |= set(client.imagine(request).created)
                target = Target(id=f"c{number}-{turn}-1", delta=0.25)
                client.activate(ActivateRequest(targets=(target, Target(id="first0-0", delta=0.0001))))
                client.read(ReadQuery(activation_min=0.5, limit=10))
        return done

    with serving(served) as url, ThreadPoolExecutor(100) as pool:
        acknowledged = set().union(*pool.map(work, range(100)))
        with TotalityClient(url, token=TOKEN, timeout_secs=60.0) as client:
            found = all_ids(client)
            page = client.read(ReadQuery(activation_min=0.7, limit=1000, scope="schemes"))
    assert len(acknowledged) == 100 * 4 * 3
    assert acknowledged <= found
    assert found - acknowledged == {f"first{a}-{b}" for a in range(10) for b in range(1000)}
    raised = {each.id for each in page.schemes}
    assert {f"c{number}-{turn}-1" for number in range(100) for turn in range(4)} <= raised
    again = open_served(TotalityOptions(store=tmp_path / "store"))
    assert again.folder is not None
    assert {node.id for node in again.store._state.table} == found
    again.folder.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0", "--allow-host", "x", "--no-token"], "--no-token needs a loopback address"),
        (["--half-life-secs", "0"], "half_life_s is 0"),
        (["--host", "0.0.0.0"], "--allow-host"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = invoke(["totality", "serve", "--port", "0", "--state-dir", str(tmp_path), *arguments])
    line = capsys.readouterr().err
    assert (code, line.count("\n")) == (2, 1)
    assert message in line


def test_a_folder_in_use_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    served = open_served(TotalityOptions(store=tmp_path / "store"))
    arguments = ["--port", "0", "--store", str(tmp_path / "store"), "--state-dir", str(tmp_path)]
    assert invoke(["totality", "serve", *arguments]) == 2
    assert "in use by another process" in capsys.readouterr().err
    assert served.folder is not None
    served.folder.close()
