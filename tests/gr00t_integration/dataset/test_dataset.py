"""One recording as v2.1 and v3.0, checked; every way to be broken has a message with a remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.app.cli.main import invoke
from sage.errors import DataError, InputError
from sage.gr00t_integration.client.zmq_client import ZmqPolicyClient
from sage.gr00t_integration.dataset.check import check_dataset
from sage.gr00t_integration.dataset.reader import open_dataset
from sage.gr00t_integration.dataset.video import video_facts
from sage.gr00t_integration.dataset.writer import DatasetWriter
from sage.gr00t_integration.embodiment import Embodiment, load_embodiment
from sage.gr00t_integration.server.replay import ReplayPolicy
from sage.gr00t_integration.wire.errors import WireError

av = pytest.importorskip("av", reason="pip install 'sage-runtime[sensors]'")
pq = pytest.importorskip("pyarrow.parquet", reason="pip install 'sage-runtime[parquet]'")
pa = pytest.importorskip("pyarrow")

LENGTHS = (5, 8, 3)
VERSIONS = pytest.mark.parametrize("version", ["v2.1", "v3.0"])


def record(folder: Path, embodiment: Embodiment, lengths: tuple[int, ...] = LENGTHS) -> np.ndarray:
    """Frames of 32 x 48 pixels; the actions (N, 6)."""
    random = np.random.default_rng(0)
    writer = DatasetWriter(folder, embodiment, fps=10)
    actions = []
    for number, length in enumerate(lengths):
        for _ in range(length):
            image = np.full((32, 48, 3), random.integers(256), dtype=np.uint8)
            actions.append(random.uniform(0, 1, 6).astype(np.float32))
            writer.add({"front": image, "wrist": image}, random.uniform(-1, 1, 6), actions[-1])
        writer.end_episode("open the drawer" if number == 1 else "pick the cube")
    writer.close()
    return np.array(actions)


@pytest.fixture
def recorded(tmp_path: Path, so100: Embodiment) -> Path:
    record(tmp_path / "data", so100)
    return tmp_path / "data"


@VERSIONS
def test_a_recording_is_good_in_both_layouts(version: str, recorded: Path, so100: Embodiment) -> None:
    facts = check_dataset(recorded / version, so100)
    assert (facts.version, facts.num_episodes, facts.num_frames, facts.fps) == (version, 3, 16, 10)
    assert facts.tasks == ("pick the cube", "open the drawer")
    assert facts.views == ("observation.images.front", "observation.images.wrist")
    assert "fits so100" in facts.lines()[0]


def test_both_layouts_have_the_same_rows(tmp_path: Path, so100: Embodiment) -> None:
    actions = record(tmp_path / "data", so100)
    for version in ("v2.1", "v3.0"):
        episodes = open_dataset(tmp_path / "data" / version).episodes
        assert tuple(each.length for each in episodes) == LENGTHS
        joined = np.concatenate([each.columns["action"] for each in episodes])
        assert np.allclose(joined, actions)
        assert episodes[1].tasks == ("open the drawer",)
        assert np.allclose(episodes[1].columns["timestamp"][:, 0], np.arange(8) / 10)


def test_the_files_are_those_of_the_published_layouts(recorded: Path) -> None:
    old, new = recorded / "v2.1", recorded / "v3.0"
    for name in (
        "meta/info.json", "meta/episodes.jsonl", "meta/tasks.jsonl", "meta/stats.json", "meta/modality.json",
        "meta/episodes_stats.jsonl", "data/chunk-000/episode_000002.parquet",
        "videos/chunk-000/observation.images.front/episode_000000.mp4",
    ):  # fmt: skip
        assert (old / name).is_file(), name
    for name in (
        "meta/info.json", "meta/tasks.parquet", "meta/stats.json", "data/chunk-000/file-000.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "videos/observation.images.wrist/chunk-000/file-000.mp4",
    ):  # fmt: skip
        assert (new / name).is_file(), name
    modality = json.loads((old / "meta/modality.json").read_text())
    assert modality["state"] == {"single_arm": {"start": 0, "end": 5}, "gripper": {"start": 5, "end": 6}}
    assert modality["video"]["front"] == {"original_key": "observation.images.front"}
    assert modality["annotation"] == {"human.task_description": {"original_key": "task_index"}}
    stats = json.loads((old / "meta/stats.json").read_text())["action"]
    assert set(stats) == {"mean", "std", "min", "max", "q01", "q99", "count"}
    table = pq.read_table(old / "data/chunk-000/episode_000000.parquet")
    assert table.schema.field("observation.state").type == pa.list_(pa.float32())
    tasks = pq.read_table(new / "meta/tasks.parquet")
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["__index_level_0__"]
    facts = video_facts(new / "videos/observation.images.wrist/chunk-000/file-000.mp4")
    assert (facts.num_frames, facts.codec) == (16, "h264")


def test_a_v3_0_loader_reads_what_was_recorded(recorded: Path) -> None:
    pytest.importorskip("lerobot", reason="lerobot is not installed")
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset("local/recording", root=recorded / "v3.0")
    assert dataset.num_episodes == 3
    assert dataset[5]["action"].shape == (6,)


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    value = json.loads(path.read_text())
    changed = change(value)
    path.write_text(json.dumps(value if changed is None else changed))


def edit_info(folder: Path, **changes: Any) -> None:
    edit_json(folder / "meta/info.json", lambda value: value.update(changes))


def edit_feature(folder: Path, name: str, feature: Any) -> None:
    edit_json(folder / "meta/info.json", lambda value: value["features"].update({name: feature}))


def rows_of(folder: Path) -> Path:
    """The first file of rows."""
    return sorted((folder / "data").rglob("*.parquet"))[0]


def edit_rows(folder: Path, column: str, change: Callable[[list[Any]], Any]) -> None:
    table = pq.read_table(rows_of(folder))
    values = table[column].to_pylist()
    change(values)
    index = table.column_names.index(column)
    typed = pa.array(values, type=table.schema.field(column).type)
    pq.write_table(table.set_column(index, column, typed), rows_of(folder))


def drop_column(folder: Path, column: str) -> None:
    pq.write_table(pq.read_table(rows_of(folder)).drop_columns([column]), rows_of(folder))


def video_of(folder: Path) -> Path:
    return sorted(folder.rglob("*.mp4"))[0]


def shorten_video(folder: Path) -> None:
    from sage.gr00t_integration.dataset.video import VideoWriter

    writer = VideoWriter(video_of(folder), fps=10, height=32, width=48)
    for _ in range(2):
        writer.write(np.zeros((32, 48, 3), dtype=np.uint8))
    writer.close()


BREAKS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no info": (lambda f: (f / "meta/info.json").unlink(), "missing: give the folder of a data set"),
    "info is no JSON": (lambda f: (f / "meta/info.json").write_text("{"), "not JSON"),
    "another version": (
        lambda f: edit_json(f / "meta/info.json", lambda v: v.update(codebase_version="v1.6")),
        "codebase_version is v1.6: give a data set of v2.1 or v3.0",
    ),
    "wrong total": (
        lambda f: edit_json(f / "meta/info.json", lambda v: v.update(total_frames=99)),
        "total_frames is 99, the files have 16",
    ),
    "rows are missing": (lambda f: rows_of(f).unlink(), "missing: the episodes name it"),
    "rows are garbage": (lambda f: rows_of(f).write_bytes(b"PAR1 no"), "not a parquet file"),
    "a column is missing": (lambda f: drop_column(f, "action"), "no column action"),
    "NaN": (
        lambda f: edit_rows(f, "observation.state", lambda v: v[2].__setitem__(1, float("nan"))),
        r"observation.state\[1\] of row 2 is NaN or infinite: remove the frame",
    ),
    "another size": (
        lambda f: edit_rows(f, "action", lambda v: v[1].append(0.0)),
        "action: rows of several sizes",
    ),
    "a time is wrong": (
        lambda f: edit_rows(f, "timestamp", lambda v: v.__setitem__(3, 0.9)),
        "timestamp of row 3 is 0.9 s, not 0.3 at 10 frames a second: resample",
    ),
    "rows are out of order": (
        lambda f: edit_rows(f, "frame_index", lambda v: v.reverse()),
        "frame_index of row 0 is",
    ),
    "an unknown task": (
        lambda f: edit_rows(f, "task_index", lambda v: v.__setitem__(0, 7)),
        "task_index 7 is not in the tasks: add its instruction",
    ),
    "a video is missing": (lambda f: video_of(f).unlink(), "missing: copy the whole folder"),
    "a video is garbage": (lambda f: video_of(f).write_bytes(b"no video"), "not a video that can be read"),
    "a video is short": (shorten_video, "2 frames, its episodes have"),
    "statistics are missing": (
        lambda f: edit_json(f / "meta/stats.json", lambda v: {}),
        "no mean of 6 numbers: compute the statistics again",
    ),
    "statistics are others": (
        lambda f: edit_json(f / "meta/stats.json", lambda v: v["action"]["max"].__setitem__(2, 9.0)),
        r"max\[2\] is 9, the rows have 0.\d+: compute",
    ),
    "ranges beyond the state": (
        lambda f: edit_json(f / "meta/modality.json", lambda v: v["state"]["gripper"].update(end=9)),
        "state.gripper is 5 to 9: observation.state has 6 numbers",
    ),
    "a camera without a video": (
        lambda f: edit_json(f / "meta/modality.json", lambda v: v["video"]["front"].update(original_key="a")),
        "video.front: its original_key is no video",
    ),
    "another shape": (
        lambda f: edit_json(
            f / "meta/info.json", lambda v: v["features"]["observation.images.front"].update(shape=[9, 9, 3])
        ),
        "frames of 32 x 48, meta/info.json has 9 x 9",
    ),
    "a placeholder of data_path": (
        lambda f: edit_info(f, data_path="data/{nope}.parquet"),
        r"data_path is 'data/\{nope\}.parquet': 'nope': use ",
    ),
    "a placeholder of video_path": (
        lambda f: edit_info(f, video_path="videos/{video_key}/{nope}.mp4"),
        r"meta/info.json: video_path is .*: 'nope': use video_key, ",
    ),
    "an attribute of a placeholder": (
        lambda f: edit_info(f, video_path="videos/{video_key.nope}.mp4"),
        "video_path is .* use video_key, ",
    ),
    "an element of a placeholder": (
        lambda f: edit_info(f, video_path="videos/{video_key[nope]}.mp4"),
        "video_path is .* use video_key, ",
    ),
    "infinite fps": (lambda f: edit_info(f, fps=float("inf")), "fps is inf"),
    "fps of true": (lambda f: edit_info(f, fps=True), "fps is True"),
    "a feature is a text": (lambda f: edit_feature(f, "action", "numbers"), "feature action is 'numbers'"),
    "a camera's feature is a text": (
        lambda f: edit_feature(f, "observation.images.front", "numbers"),
        "feature observation.images.front is 'numbers'",
    ),
    "a feature without a shape": (
        lambda f: edit_feature(f, "action", {"dtype": "float32"}),
        "shape of action is None: give a list of sizes",
    ),
    "a shape is a number": (
        lambda f: edit_feature(f, "observation.state", {"dtype": "float32", "shape": 6}),
        "shape of observation.state is 6: give a list of sizes",
    ),
    "a shape is a text": (
        lambda f: edit_feature(f, "index", {"dtype": "int64", "shape": ["wide"]}),
        r"shape of index is \['wide'\]: give a list of sizes",
    ),
    "statistics are texts": (
        lambda f: edit_json(f / "meta/stats.json", lambda v: v["action"]["max"].__setitem__(2, "high")),
        r"action: max\[2\] is 'high', no number: compute the statistics again",
    ),
    "a statistic is null": (
        lambda f: edit_json(f / "meta/stats.json", lambda v: v["action"]["mean"].__setitem__(0, None)),
        r"action: mean\[0\] is None, no number",
    ),
    "a statistic is a list": (
        lambda f: edit_json(f / "meta/stats.json", lambda v: v["action"]["std"].__setitem__(0, [1.0])),
        r"action: std\[0\] is \[1.0\], no number",
    ),
    "a statistic is too large": (
        lambda f: edit_json(f / "meta/stats.json", lambda v: v["action"]["min"].__setitem__(0, 10**400)),
        r"action: min\[0\] is 1000.*, no number",
    ),
    "modality is no map": (
        lambda f: edit_json(f / "meta/modality.json", lambda v: v.update(video=["front"])),
        "video is .*: give an original_key for each view",
    ),
    "a range is a text": (
        lambda f: edit_json(f / "meta/modality.json", lambda v: v["action"]["gripper"].update(start="5")),
        "action.gripper is 5 to 6",
    ),
    "an original key is a list": (
        lambda f: edit_json(
            f / "meta/modality.json", lambda v: v["action"]["gripper"].update(original_key=["a"])
        ),
        "action.gripper: its original_key is .*: give the name of a feature",
    ),
}


@VERSIONS
@pytest.mark.parametrize("way", BREAKS)
def test_each_way_to_be_broken_is_named_with_a_remedy(way: str, version: str, recorded: Path) -> None:
    change, said = BREAKS[way]
    change(recorded / version)
    with pytest.raises(DataError, match=said) as raised:
        check_dataset(recorded / version)
    assert "\n" not in str(raised.value)


def test_v2_1_without_a_modality_file_or_with_another_length(recorded: Path) -> None:
    folder = recorded / "v2.1"
    lines = (folder / "meta/episodes.jsonl").read_text()
    (folder / "meta/episodes.jsonl").write_text(lines.replace('"length": 8', '"length": 9'))
    with pytest.raises(DataError, match="8 rows, its metadata has length 9"):
        check_dataset(folder)
    (folder / "meta/modality.json").unlink()
    with pytest.raises(DataError, match=r"modality\.json: missing: GR00T reads v2\.1 with it"):
        check_dataset(folder)


def test_an_episode_whose_tasks_are_no_list_is_named(recorded: Path) -> None:
    path = recorded / "v2.1/meta/episodes.jsonl"
    path.write_text(path.read_text().replace('["open the drawer"]', "5"))
    with pytest.raises(DataError, match=r"episodes\.jsonl: tasks is 5: give a list of texts"):
        check_dataset(recorded / "v2.1")


@VERSIONS
@pytest.mark.parametrize("way", ["a placeholder of video_path", "statistics are texts", "a range is a text"])
def test_what_is_broken_is_one_line_of_the_command(
    way: str, version: str, recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    BREAKS[way][0](recorded / version)
    assert invoke(["groot", "check", str(recorded / version)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@VERSIONS
def test_another_embodiment_does_not_fit(version: str, recorded: Path) -> None:
    with pytest.raises(DataError, match=r"not the embodiment gr1: no state\.left_arm"):
        check_dataset(recorded / version, load_embodiment("gr1"))


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_a_replay_server_returns_the_recorded_actions(
    version: str, tmp_path: Path, so100: Embodiment, serve: Any, observe: Any
) -> None:
    actions = record(tmp_path / "data", so100)
    policy = ReplayPolicy(tmp_path / "data" / version, so100, execute_steps=4)
    client = ZmqPolicyClient(serve(so100, policy=policy).address, so100)
    client.reset()
    first = so100.joined(client.infer(observe(so100)))[0]
    second = so100.joined(client.infer(observe(so100)))[0]
    beyond = so100.joined(client.infer(observe(so100)))[0]
    assert np.allclose(first[:5], actions[:5])
    assert np.allclose(first[5:], actions[4])
    assert np.allclose(second[0], actions[4])
    assert np.allclose(beyond, actions[4])
    client.reset()
    assert np.allclose(so100.joined(client.infer(observe(so100)))[0], first)
    assert policy.reset({"episode_index": 1})["episode_length"] == 8
    assert np.allclose(so100.joined(policy.act(observe(so100)))[0, :8], actions[5:13])
    with pytest.raises(WireError, match="give 0 to 2"):
        policy.reset({"episode_index": 3})
    client.close()


def test_a_replay_of_another_robot_is_refused(recorded: Path) -> None:
    with pytest.raises(DataError, match=r"action\.left_arm has 0 numbers, not 7"):
        ReplayPolicy(recorded / "v2.1", load_embodiment("gr1"))
    edit_json(recorded / "v3.0/meta/modality.json", lambda value: value.update(action=["gripper"]))
    with pytest.raises(DataError, match=r"action is .*: give a start and an end"):
        ReplayPolicy(recorded / "v3.0", load_embodiment("so100"))
    with pytest.raises(InputError, match="give 1 to 16"):
        ReplayPolicy(recorded / "v2.1", load_embodiment("so100"), execute_steps=17)


def test_what_cannot_be_recorded_is_refused(tmp_path: Path, so100: Embodiment) -> None:
    image = np.zeros((32, 48, 3), dtype=np.uint8)
    writer = DatasetWriter(tmp_path / "a", so100, fps=10)
    frames: list[tuple[Any, Any, Any, str]] = [
        ({"front": image}, np.zeros(6), np.zeros(6), "the views front"),
        ({"front": image, "wrist": image}, np.zeros(5), np.zeros(6), "5 states"),
        ({"front": image, "wrist": image}, np.zeros(6), np.full(6, np.nan), "NaN or infinity"),
        ({"front": image[:31], "wrist": image}, np.zeros(6), np.zeros(6), "even sizes"),
        ({"front": image[..., 0], "wrist": image}, np.zeros(6), np.zeros(6), "uint8"),
    ]
    for images, state, action, said in frames:
        with pytest.raises(InputError, match=said):
            writer.add(images, state, action)
    writer.end_episode("nothing")
    with pytest.raises(InputError, match="nothing was recorded"):
        writer.close()
    (tmp_path / "b").mkdir()
    (tmp_path / "b/file").touch()
    with pytest.raises(InputError, match="not empty: give a new folder"):
        DatasetWriter(tmp_path / "b", so100, fps=10)


@VERSIONS
def test_a_frame_that_is_refused_leaves_nothing_in_the_videos(
    version: str, tmp_path: Path, so100: Embodiment
) -> None:
    """Rows and frames stay in step, also where the first view was good."""
    image = np.zeros((32, 48, 3), dtype=np.uint8)
    writer = DatasetWriter(tmp_path / "a", so100, fps=10)
    for _ in range(3):
        writer.add({"front": image, "wrist": image}, np.zeros(6), np.zeros(6))
        with pytest.raises(InputError, match="a frame of 30 x 48 follows frames of 32 x 48"):
            writer.add({"front": image, "wrist": image[:30]}, np.zeros(6), np.zeros(6))
    writer.end_episode("pick the cube")
    with pytest.raises(InputError, match="keep one size"):
        writer.add({"front": image, "wrist": image[:30]}, np.zeros(6), np.zeros(6))
    writer.close()
    assert check_dataset(tmp_path / "a" / version, so100).num_frames == 3


@VERSIONS
def test_an_episode_that_was_not_ended_is_ended_before_the_data_set_is_closed(
    version: str, tmp_path: Path, so100: Embodiment
) -> None:
    image = np.zeros((32, 48, 3), dtype=np.uint8)
    writer = DatasetWriter(tmp_path / "a", so100, fps=10)
    for length in (3, 2):
        for _ in range(length):
            writer.add({"front": image, "wrist": image}, np.zeros(6), np.zeros(6))
        if length == 3:
            writer.end_episode("pick the cube")
    with pytest.raises(InputError, match="2 frames are in no episode: call end_episode"):
        writer.close()
    writer.end_episode("pick the cube")
    writer.close()
    assert check_dataset(tmp_path / "a" / version, so100).num_frames == 5
