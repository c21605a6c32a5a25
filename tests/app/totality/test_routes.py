"""Every endpoint: the state before and after, with the ancestors' payloads as they stand."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette", reason="the extra web is not installed")

from typing import Any

from sage.mailbox.clock import ManualClock
from sage.related_work.totality import persistence

WRONG = [
    ("/totality/imagine", {"ops": [{"op": "teleport"}]}, 400, "op teleport: unknown"),
    ("/totality/imagine", {"ops": [{"op": "vary_slot", "params": {"x": 1}}]}, 400, "x is no parameter"),
    ("/totality/imagine", {"ops": []}, 400, "ops"),
    ("/totality/imagine", {"ops": [{"op": "vary_slot"}], "colour": 1}, 400, "colour"),
    ("/totality/imagine", {"ops": [{"op": "vary_slot"}], "count": 0}, 400, "count"),
    ("/totality/imagine", {"ops": [{"op": "vary_slot"}], "trust": 1.5}, 400, "trust"),
    ("/totality/imagine", {"ops": [{"op": "vary_slot"}], "affect": {"mood": 1}}, 400, "affect.mood"),
    ("/totality/imagine", {"ops": [{"op": "vary_slot"}], "seed_scheme_ids": ["nobody"]}, 404, "nobody"),
    ("/totality/imagine", {"ops": [{"op": "recombine"}], "seed_scheme_ids": ["grasp"]}, 409, "no_solution"),
    ("/totality/activate", {"targets": [{"id": "nobody", "delta": 0.1}]}, 404, "nobody"),
    ("/totality/activate", {"targets": [{"id": "grasp"}]}, 400, "delta"),
    ("/totality/activate", {"targets": [], "decay_half_life_s": 1}, 400, "targets"),
    ("/totality/activate", {"targets": [{"id": "grasp", "delta": 1}], "decay_half_life_s": 0}, 400, "decay"),
    ("/totality/write", {"schemes": []}, 400, "schemes"),
    ("/totality/write", {"schemes": [{"label": "a"}], "mode": "burn"}, 400, "mode"),
    ("/totality/write", {"schemes": [{"label": "a", "id": "base-scene"}]}, 409, "id of a canvas"),
    ("/totality/write", {"schemes": [{"label": "a", "id": "grasp", "version": 7}]}, 409, "version 7"),
    ("/totality/write", {"schemes": [{"label": "a", "id": "x"}, {"label": "b", "id": "x"}]}, 400, "twice"),
    ("/totality/write", {"schemes": [{"label": "a", "activation": 2}]}, 400, "activation"),
    ("/totality/write", b"[1", 400, "body"),
    ("/totality/write", b'{"schemes": [{"label": "a", "slots": [{"name": "n", "value": NaN}]}]}', 400, ""),
    ("/totality/write", b'{"schemes": [{"label": "\\ud800"}]}', 400, ""),
    ("/totality/write", b"[" * 100_000, 400, ""),
    ("/totality/restore", {}, 400, "give snapshot"),
    ("/totality/restore", {"snapshot": {}, "snapshot_id": "x"}, 400, "was altered"),
    ("/totality/restore", {"snapshot": {"activations": {"a": 0.5}}}, 400, "neither a scheme"),
    ("/totality/restore", {"snapshot_id": "x"}, 409, "in memory only"),
    ("/totality/persist", {"now": True}, 400, "no fields"),
    ("/totality/persist", {}, 409, "in memory only"),
    ("/totality/sleep-cycle", {"ops": [{"op": "teleport"}]}, 400, "unknown"),
    ("/totality/sleep-cycle", {"ops": [{"op": "abstract"}], "min_activation": 1.0}, 409, "no scheme"),
]


@pytest.mark.parametrize(("path", "said", "status", "fault"), WRONG)
def test_a_wrong_request_changes_nothing(caller: Any, path: str, said: Any, status: int, fault: str) -> None:
    before = caller.get("/totality/snapshot").json
    answer = caller.post(path, said)
    assert answer.status == status, answer.body
    assert fault in answer.fault
    assert "\n" not in answer.fault
    assert caller.get("/totality/snapshot").json == before


@pytest.mark.parametrize(
    "query",
    [
        {"activation_min": 2},
        {"activation_min": "nan"},
        {"limit": 0},
        {"limit": "9" * 40},
        {"limit": "1.5"},
        {"scope": "dreams"},
        {"cursor": "x"},
        {"since": "yesterday"},
        {"since": "inf"},
        {"since": "2026-11-30 00:00 99:00"},
        {"order": "up"},
    ],
)
def test_a_wrong_query_is_refused(caller: Any, query: dict[str, object]) -> None:
    assert caller.get("/totality/read", **query).status == 400


def test_health_has_the_time_and_needs_no_token(caller: Any) -> None:
    answer = caller.get("/health", {"authorization": ""})
    assert answer.json == {"status": "ok", "time": "2023-11-14T22:13:20+00:00"}


def test_all_other_paths_need_the_token_the_host_and_a_small_body(caller: Any) -> None:
    before = caller.ids("schemes")
    said = {"schemes": [{"label": "a"}]}
    assert caller.post("/totality/write", said, {"authorization": ""}).status == 401
    assert caller.get("/totality/read", {"authorization": "Bearer x"}).status == 401
    assert caller.post("/totality/write", said, {"host": "evil.example"}).status == 421
    assert caller.post("/totality/write", said, {"origin": "http://evil.example"}).status == 403
    assert caller.post("/totality/write", b" " * (1 << 20) + b"{}").status == 413
    assert caller.post("/nowhere", said).status == 404
    assert caller.get("/totality/write").status == 405
    assert caller.ids("schemes") == before


def test_the_ancestors_requests_work_as_they_stand(caller: Any) -> None:
    read = caller.get("/totality/read", activation_min=0.0).json
    assert len(read["schemes"]) == 2
    assert len(read["canvases"]) == 1
    name = read["schemes"][0]["id"]
    said = {"seed_scheme_ids": [name], "ops": [{"op": "value_perm"}], "count": 2}
    created = caller.post("/totality/imagine", said).json["created"]
    assert len(created) == 2
    assert caller.ids("canvases") == {"base-scene", *created}
    scheme = {
        "label": "manipulate(item)",
        "slots": [{"name": "item", "value": "cube"}],
        "activation": 0.6,
    }
    written = caller.post("/totality/write", {"schemes": [scheme], "mode": "merge"}).json
    assert written["status"] == "ok"
    assert set(written["committed"]) <= caller.ids("schemes")
    empty = {"seed_scheme_ids": [], "ops": [{"op": "value_perm"}], "count": 1}
    assert len(caller.post("/totality/imagine", empty).json["created"]) == 1
    assert caller.post("/totality/activate", {"targets": [{"id": name, "delta": 0.2}]}).json["status"] == "ok"


def test_read_filters_and_pages(caller: Any, clock: ManualClock) -> None:
    assert {e["id"] for e in caller.get("/totality/read", activation_min=0.5).json["schemes"]} == {"grasp"}
    page = caller.get("/totality/read", limit=2).json
    rest = caller.get("/totality/read", cursor=page["cursor"]).json
    assert rest["cursor"] is None
    assert page["activations"].keys() | rest["activations"].keys() == {"grasp", "place", "base-scene"}
    clock.advance(5_000_000_000)
    caller.post("/totality/write", {"schemes": [{"label": "late", "id": "late"}]})
    for since in ("2023-11-14T22:13:22Z", "2023-11-14 22:13:22", "2023-11-15 00:13:22+02:00", "1700000002"):
        assert caller.get("/totality/read", since=since).json["activations"].keys() == {"late"}


def test_imagine_raises_the_number_of_canvases_and_names_the_ops(caller: Any) -> None:
    before = caller.ids("canvases")
    said = {
        "seed_scheme_ids": ["grasp", "place"],
        "ops": [{"op": "vary_slot", "params": {"slot": "object", "value": "ball"}}, {"op": "abstract"}],
        "count": 3,
        "trust": 0.8,
        "affect": {"valence": 0.5, "arousal": 0.2, "coping": 0.9},
    }
    reply = caller.post("/totality/imagine", said).json
    assert (reply["outcome"], reply["budget"]) == ("solved", {"calls": 6, "max_calls": 4096})
    after = caller.get("/totality/read", scope="canvases").json["canvases"]
    assert {each["id"] for each in after} == before | set(reply["created"])
    made = [each for each in after if each["id"] in reply["created"]]
    assert all(each["provenance"]["ops"] == ["vary_slot", "abstract"] for each in made)


def test_activate_changes_clamps_spreads_and_decays(caller: Any, clock: ManualClock) -> None:
    before = caller.get("/totality/read").json["activations"]
    said = {"targets": [{"id": "grasp", "delta": 7}], "decay_half_life_s": 10}
    reply = caller.post("/totality/activate", said).json
    assert reply["activations"]["grasp"] == 1.0
    assert reply["activations"]["base-scene"] > before["base-scene"]
    assert all(0.0 <= value <= 1.0 for value in reply["activations"].values())
    clock.advance(10_000_000_000)
    after = caller.get("/totality/read").json
    assert after["activations"]["grasp"] == pytest.approx(0.5)
    assert {e["id"]: e["activation"] for e in after["schemes"]}["grasp"] == pytest.approx(0.5)


def test_write_modes_versions_and_the_gate(caller: Any) -> None:
    def grasp() -> Any:
        return next(e for e in caller.get("/totality/read").json["schemes"] if e["id"] == "grasp")

    slot = {"name": "object", "value": "ball", "binding": "observed"}
    said = {"id": "grasp", "label": "grasp(object)", "slots": [slot]}
    assert caller.post("/totality/write", {"schemes": [said], "mode": "append"}).json["committed"] == [
        "grasp"
    ]
    assert [each["value"] for each in grasp()["slots"]] == ["cube", "ball"]
    assert caller.post("/totality/write", {"schemes": [said], "mode": "replace"}).json["committed"] == [
        "grasp"
    ]
    assert (grasp()["version"], grasp()["activation"]) == (3, 0.0)
    unchanged = caller.post("/totality/write", {"schemes": [said], "mode": "merge"}).json
    assert (unchanged["status"], unchanged["committed"]) == ("unchanged", [])
    gated = caller.post("/totality/write", {"schemes": [{"label": "x", "id": "x"}], "trust": 0.1}).json
    assert (gated["status"], gated["refused"][0]["reason"]) == ("unchanged", "gate closed")
    assert "x" not in caller.ids("schemes")
    assert caller.post("/totality/write", {"schemes": [{**grasp(), "label": "hold"}]}).json["status"] == "ok"
    assert (grasp()["version"], grasp()["label"]) == (4, "hold")


def test_a_snapshot_restores_what_was_there(caller: Any) -> None:
    saved = caller.get("/totality/snapshot").json
    caller.post("/totality/imagine", {"ops": [{"op": "value_perm"}], "count": 2})
    caller.post("/totality/write", {"schemes": [{"label": "x", "id": "x"}]})
    caller.post("/totality/activate", {"targets": [{"id": "grasp", "delta": -0.3}]})
    changed = caller.get("/totality/snapshot").json
    assert changed["snapshot_id"] != saved["snapshot_id"]
    reply = caller.post("/totality/restore", saved)
    assert reply.json == {"status": "ok", "snapshot_id": saved["snapshot_id"], "schemes": 2, "canvases": 1}
    restored = caller.get("/totality/snapshot").json["snapshot"]
    for name in ("schemes", "canvases", "activations", "nodes"):
        assert restored[name] == saved["snapshot"][name]
    caller.post("/totality/imagine", {"ops": [{"op": "value_perm"}]})
    new = caller.ids("canvases") - {"base-scene"}
    assert not new & {each["id"] for each in changed["snapshot"]["canvases"]}


def test_sleep_cycle_reports_before_and_after(caller: Any) -> None:
    said = {"seed": 3, "count": 2, "ops": [{"op": "abstract"}], "min_activation": 0.1}
    reply = caller.post("/totality/sleep-cycle", said).json
    assert reply["after"]["canvases"] == reply["before"]["canvases"] + 2
    assert len(reply["created"]) == 2
    assert reply["after"]["schemes"] == reply["before"]["schemes"] + len(reply["committed"])
    assert set(reply["created"]) <= caller.ids("canvases")
    assert set(reply["committed"]) <= caller.ids("schemes")
    assert len(reply["committed"]) == 1


def test_persist_writes_a_file_that_restore_finds_again(kept: Any) -> None:
    folder = kept.served.folder
    reply = kept.post("/totality/persist").json
    (path,) = [each for each in folder._folder.path.iterdir() if each.name.endswith(".snapshot.json")]
    assert path.stat().st_size == reply["num_bytes"]
    kept.post("/totality/write", {"schemes": [{"label": "x", "id": "x"}]})
    assert kept.post("/totality/restore", {"snapshot_id": "unknown"}).status == 404
    assert kept.post("/totality/restore", {"snapshot_id": reply["snapshot_id"]}).status == 200
    assert kept.ids("schemes") == {"grasp", "place"}


def test_a_snapshot_that_cannot_be_written_refuses_no_change_that_is_on_the_disk(
    kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(persistence, "PERSIST_AFTER_BYTES", 0)
    monkeypatch.setattr(persistence.Folder, "write", full)
    written = kept.post("/totality/write", {"schemes": [{"id": "cup", "label": "cup"}], "mode": "merge"})
    assert (written.status, written.json["committed"]) == (200, ["cup"])
    assert "cup" in kept.ids("schemes")
    assert kept.post("/totality/persist").status == 507


def test_the_document_lists_every_route_and_operation(caller: Any) -> None:
    document = caller.get("/openapi.json", {"authorization": ""}).json
    listed = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    routes = {(path, method) for method, path, _ in _table(caller) if path != "/openapi.json"}
    assert listed == routes
    assert "value_perm" in document["components"]["schemas"]["OpCall"]["properties"]["op"]["enum"]


def _table(caller: Any) -> Any:
    from sage.app.totality.routes import _Endpoints

    return _Endpoints(caller.served).table()
