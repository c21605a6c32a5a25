"""The table of what people get wrong: each row ends in exit 2 and one line that names the place and the
remedy.
"""

# The table reads best a row a line.

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sage.app.cli.main import invoke


@dataclass(frozen=True)
class Wrong:
    """What was given. config: text of a file that takes the place of {config}.  says: parts of the one
    line.
    """

    story: str
    arguments: str
    says: tuple[str, ...]
    config: str = ""
    environ: dict[str, str] = field(default_factory=dict)


SENSORS = "sensors:\n  - {kind: host, name: cpu, read: [cpu]}\n"
#: Two sensors, and a group of them with other keys.
PAIR = (
    "sensors: [{kind: synthetic, name: a, shape: [2]}, {kind: synthetic, name: b, shape: [2]},"
    " {kind: synthetic, name: c, shape: [3]}]\nmeasurements:\n"
)
TABLE = [
    Wrong(
        "a device that cannot compute",
        "solve sudoku .4..1.42.23..... --device meta",
        ("--device meta: ", "give cpu or auto"),
    ),
    Wrong(
        "an option of another option",
        "train sudoku4 --search-calls 3",
        ("--search-calls 3: needs --from-search: add it, or leave this out",),
    ),
    Wrong(
        "a budget of a recording that there is none of",
        "run {config} --fast --ticks 1 --no-live --record-max-bytes 9000000",
        ("--record-max-bytes 9000000: needs --record: add it, or leave this out",),
        SENSORS,
    ),
    Wrong(
        "a port of a page that there is none of",
        "run {config} --fast --ticks 1 --no-live --port 9000",
        ("--port 9000: needs --page: add it, or leave this out",),
        SENSORS,
    ),
    Wrong(
        "a name of the same, of a service",
        "daemon unit --no-page --allow-host orin.lan",
        ("--allow-host orin.lan: needs --page: add it, or leave this out",),
    ),
    Wrong(
        "the same of a service",
        "daemon unit --record-jpeg",
        ("--record-jpeg: needs --record: add it, or leave this out",),
    ),
    Wrong(
        "a symbolic link to itself",
        "recording recover {loop}",
        ("{loop}: its symbolic links lead back to it: give another path",),
    ),
    Wrong(
        "unknown key",
        "config check {config}",
        ("{config}:1", "tick.rate: unknown key", "did you mean tick.rate_hz?"),
        "tick: {rate: 5}\n",
    ),
    Wrong(
        "unknown section",
        "run {config}",
        ("{config}:2", "slep: unknown key", "did you mean sleep?"),
        "name: x\nslep: {}\n",
    ),
    Wrong(
        "unknown key of a sensor",
        "config check {config}",
        ("{config}:2", "sensors.cpu.perod_secs: unknown key", "did you mean sensors.cpu.period_secs?"),
        SENSORS.replace("read: [cpu]", "perod_secs: 1"),
    ),
    Wrong(
        "misspelt enabled",
        "config check {config}",
        ("sensors.cpu.enable: unknown key", "did you mean sensors.cpu.enabled?"),
        SENSORS.replace("read: [cpu]", "enable: true"),
    ),
    Wrong(
        "wrong type",
        "config check {config}",
        ("{config}:1", "tick.rate_hz is 'fast'", "give a valid number"),
        "tick: {rate_hz: fast}\n",
    ),
    Wrong(
        "out of range",
        "config check {config}",
        ("tick.rate_hz is -1", "greater than 0"),
        "tick: {rate_hz: -1}\n",
    ),
    Wrong("a value where a section belongs", "config check {config}", ("tick is 5", "give"), "tick: 5\n"),
    Wrong(
        "wrong choice",
        "config check {config}",
        ("sleep.where is 'cloud'", "'process' or 'inline'"),
        "sleep: {where: cloud}\n",
    ),
    Wrong(
        "a rule without a decision",
        "config check {config}",
        ("policy.rules.0.decision: missing",),
        "policy: {rules: [{effect: x}]}\n",
    ),
    Wrong("a name that is no name", "config check {config}", ("name is 'a b'",), "name: a b\n"),
    Wrong(
        "several faults at once",
        "config check {config}",
        ("unknown key", "(and 1 more)"),
        "tick: {rate: 5, rate_hz: x}\n",
    ),
    Wrong("not a list", "config check {config}", ("sensors: give a list",), "sensors: {kind: host}\n"),
    Wrong(
        "an item without a kind",
        "config check {config}",
        ("{config}:1", "sensors.x", "kind is missing"),
        "sensors: [{name: x}]\n",
    ),
    Wrong("an item that is a word", "config check {config}", ("kind is missing",), "sensors: [host]\n"),
    Wrong(
        "unknown kind",
        "config check {config}",
        ("{config}:1", "hots: unknown kind of sensor", "did you mean host?"),
        "sensors: [{kind: hots}]\n",
    ),
    Wrong(
        "unknown kind of effector",
        "config check {config}",
        ("effectors.arm.kind", "unknown kind of effector", "recording"),
        "effectors: [{kind: arm}]\n",
    ),
    Wrong(
        "two of one name",
        "config check {config}",
        ("sensors.1.name: host is used twice",),
        "sensors: [{kind: host}, {kind: host}]\n",
    ),
    Wrong(
        "enabled maybe",
        "config check {config}",
        ("sensors.host.enabled is 'maybe'", "true or false"),
        "sensors: [{kind: host, enabled: maybe}]\n",
    ),
    Wrong(
        "a plug-in's own rule",
        "config check {config}",
        ("sensors.host", "max_backoff_secs is 0.1", "give at least"),
        "sensors: [{kind: host, max_backoff_secs: 0.1}]\n",
    ),
    Wrong(
        "a required key left out",
        "config check {config}",
        ("sensors.table.path: missing",),
        "sensors: [{kind: table, time: t}]\n",
    ),
    Wrong(
        "a group of measurements with an unknown source",
        "config check {config}",
        ("measurements.p.sources: there is no sensor bb", "did you mean b?"),
        PAIR + "  - {name: p, sources: [a, bb], motion_std: 1}\n",
    ),
    Wrong(
        "a group of measurements with one source",
        "config check {config}",
        ("{config}:3", "measurements.p: sources has 1: give two or more"),
        PAIR + "  - {name: p, sources: [a], motion_std: 1}\n",
    ),
    Wrong(
        "a group of measurements of different shapes",
        "run {config} --fast --ticks 1",
        ("measurements.p: a has 2 channels, c 3: give sources of one shape, or `channels`",),
        PAIR + "  - {name: p, sources: [a, c], motion_std: 1}\n",
    ),
    Wrong(
        "a group of measurements of different shapes, checked",
        "config check {config}",
        ("measurements.p: a has 2 channels, c 3: give sources of one shape, or `channels`",),
        PAIR + "  - {name: p, sources: [a, c], motion_std: 1}\n",
    ),
    Wrong(
        "a group of measurements with an unknown sensor of an environment",
        "config check {config}",
        ("measurements.p.sources: there is no source room.plaec", "did you mean room.place?"),
        "environments: [{kind: key_door, name: room}]\n"
        + PAIR
        + "  - {name: p, sources: [a, room.plaec], motion_std: 1}\n",
    ),
    Wrong(
        "a negative noise",
        "config check {config}",
        ("measurements.p.sources.b.noise_std is -0.1", "greater than or equal to 0.0"),
        PAIR + "  - {name: p, sources: [a, {name: b, noise_std: -0.1}], motion_std: 1}\n",
    ),
    Wrong(
        "one source in two groups",
        "config check {config}",
        ("measurements: b is a source of two groups: give it to one of them",),
        PAIR
        + "  - {name: p, sources: [a, b], motion_std: 1}\n  - {name: q, sources: [b, c], motion_std: 1}\n",
    ),
    Wrong(
        "a group of measurements with the name of a sensor",
        "config check {config}",
        ("measurements.c: it is the name of a sensor: give the group another name",),
        PAIR + "  - {name: c, sources: [a, b], motion_std: 1}\n",
    ),
    Wrong(
        "a recording that is not there",
        "run {config}",
        ("{config}:1", "sensors.table.path: /nowhere/x.csv: no such file", "correct it"),
        "sensors: [{kind: table, path: /nowhere/x.csv, time: t}]\n",
    ),
    Wrong(
        "SAGE_DATA points nowhere",
        "run flight",
        ("flight.yaml:", "sensors.gyroscope.path", "no such file", "set SAGE_DATA"),
        environ={"SAGE_DATA": "/nowhere"},
    ),
    Wrong(
        "a recording that is a folder",
        "run {config}",
        ("sensors.table.path: {folder}: is a directory",),
        "sensors: [{kind: table, path: '{folder}', time: t}]\n",
    ),
    Wrong(
        "a camera that is not there",
        "run default --set sensors.camera.enabled=true --set sensors.camera.device=/dev/video99",
        (
            "--set sensors.camera.device=/dev/video99",
            "sensors.camera.device: /dev/video99: no such device",
            "enabled: false",
        ),
    ),
    Wrong(
        "a camera without consent",
        "config check {config}",
        ("sensors.video", "consent: true"),
        "sensors: [{kind: video, device: /dev/video0}]\n",
    ),
    Wrong(
        "a variable that is not set",
        "config check {config}",
        ("{config}:2", "name: SAGE_NO_SUCH is not set", "export it"),
        "seed: 1\nname: ${SAGE_NO_SUCH}\n",
    ),
    Wrong("no such configuration", "run nowhere.yaml", ("nowhere.yaml: no such file", "default, flight")),
    Wrong("a folder as configuration", "run {folder}", ("{folder}: is a directory", "give a YAML file")),
    Wrong(
        "no YAML",
        "run {config}",
        ("{config}:2: not YAML", "correct that line"),
        "tick: {rate_hz: 1\nname: x\n",
    ),
    Wrong("a tab in YAML", "run {config}", ("{config}:2: not YAML",), "tick:\n\trate_hz: 1\n"),
    Wrong(
        "a tag in YAML",
        "run {config}",
        ("{config}:1: not YAML", "python"),
        "name: !!python/object/apply:os.system [ls]\n",
    ),
    Wrong("an alias in YAML", "run {config}", ("{config}:1: not YAML", "alias"), "name: &a [*a]\n"),
    Wrong(
        "a duplicate key",
        "run {config}",
        ("{config}:3: tick.rate_hz: given twice, first on line 2",),
        "tick:\n  rate_hz: 1\n  rate_hz: 2\n",
    ),
    Wrong("a list at the top", "run {config}", ("{config}:1: a list at the top",), "- 1\n"),
    Wrong("a word at the top", "run {config}", ("{config}:1: a single value at the top",), "hello\n"),
    Wrong("not text", "run {binary}", ("{binary}: not UTF-8 at byte 0",)),
    Wrong(
        "--set without a value",
        "run default --set tick.rate_hz",
        ("--set tick.rate_hz: give key.path=value",),
    ),
    Wrong(
        "--set of an unknown key",
        "run default --set tick.rate=5",
        ("--set tick.rate=5: tick.rate: unknown key; did you mean tick.rate_hz?",),
    ),
    Wrong(
        "--set of an unknown sensor",
        "run default --set sensors.cpo.period_secs=1",
        ("--set sensors.cpo.period_secs=1: no cpo in sensors", "did you mean cpu?"),
    ),
    Wrong(
        "--set below a number",
        "run default --set tick.rate_hz.x=1",
        ("tick.rate_hz is 20, which has no keys",),
    ),
    Wrong("--set with an empty key", "run default --set tick..x=1", ("give key.path=value",)),
    Wrong("--set of half a list", "run default --set sensors=[", ("'[': not a YAML value",)),
    Wrong(
        "--set of a wrong type",
        "run default --set tick.rate_hz=quick",
        ("--set tick.rate_hz=quick: tick.rate_hz is 'quick'",),
    ),
    Wrong(
        "a state directory that is a file",
        "run default --state-dir {file}",
        ("state_dir: {file}: not a directory", "--state-dir"),
    ),
    Wrong(
        "a state directory below a file",
        "run default --state-dir {file}/x",
        ("state_dir: {file}/x: not a directory", "--state-dir"),
    ),
    Wrong(
        "a state directory that cannot be made",
        "run default --state-dir /proc/sage",
        ("state_dir: /proc/sage:", "give another"),
    ),
    Wrong("an unknown option", "run --quickly", ("No such option: --quickly", "sage run --help")),
    Wrong("an unknown command", "rum", ("No such command 'rum'", "sage --help")),
    Wrong("seconds that are no number", "run --seconds soon", ("'--seconds'", "sage run --help")),
    Wrong("ticks below one", "run --ticks 0", ("'--ticks'", "sage run --help")),
    Wrong("an unknown benchmark", "bench lop", ("bench lop: no such benchmark",)),
    Wrong("a snapshot that is not there", "sleep {folder}/none", ("{folder}/none: no such folder",)),
    Wrong("a folder that is no snapshot", "sleep {folder}", ("{folder}", "job.json is missing")),
    Wrong("no store yet", "store inspect --state-dir {folder}", ("{folder}", "no session is stored here")),
    Wrong(
        "no store to export",
        "store export x.csv --state-dir {folder}",
        ("{folder}", "no session is stored here"),
    ),
    Wrong("no session to report", "report --state-dir {folder}", ("{folder}", "sage run")),
    Wrong(
        "check of an unknown kind",
        "sensors check hots",
        ("hots: unknown kind of sensor", "did you mean host?"),
    ),
    Wrong(
        "check of a kind that wants a file",
        "sensors check audio",
        ("sensor audio: give one of path, device or lavfi",),
    ),
    Wrong(
        "a record of what is not there",
        "sensors record table --set path=/nowhere.csv --set time=t --out {folder}/x.npz",
        ("sensor table: /nowhere.csv",),
    ),
    Wrong("a record to no table", "sensors record clock --out x.txt", ("--out x.txt", ".npz")),
    Wrong(
        "a record to nowhere",
        "sensors record clock --seconds 0.2 --out /nowhere/x.npz",
        ("--out /nowhere/x.npz: no such file",),
    ),
    Wrong(
        "a record of an unknown key",
        "sensors record clock --set perid_secs=1 --out x.npz",
        ("--set perid_secs=1: perid_secs: unknown key; did you mean period_secs?",),
    ),
    Wrong(
        "a record of a film",
        "sensors record video --set lavfi=testsrc=size=320x240 --out x.npz",
        ("sensor video", "up to 4096 numbers"),
    ),
    Wrong(
        "a new sensor of a taken name",
        "sensors new host --into {folder}",
        ("the kind exists (built in): choose another name",),
    ),
    Wrong("an empty configuration", "config check {file}", ("sensors: none is enabled", "{kind: host}")),
    Wrong("a configuration with a NUL byte", "config check {config}", ("{config}", "not YAML"), "a\0b"),
    Wrong(
        "a configuration of 3000 nested lists",
        "config check {config}",
        ("{config}", "nested too deeply", "write fewer levels"),
        "[" * 3000,
    ),
    Wrong(
        "a sweep of 3000 nested lists", "sweep {config} --out {folder}/x", ("nested too deeply",), "[" * 3000
    ),
    Wrong(
        "a NUL byte in --set",
        "sensors check video --set path=a\0b",
        ("not a YAML value",),
    ),
    Wrong("an empty checkpoint", "model show {file}", ("truncated or not a torch file: EOFError",)),
    Wrong("an empty CSV of puzzles", "train sudoku --data {file} --out {folder}/x", ("{file}: is empty",)),
    Wrong(
        "an empty name of a checkpoint",
        "solve sudoku .4..1.42.23..... --checkpoint=",
        ("no model in this folder",),
    ),
    Wrong(
        "a data set that is not there",
        "data check /nowhere",
        ("/nowhere", "no such f", "train/ and test/"),
    ),
    Wrong(
        "a seed over 64 bits",
        "config check default --set seed=99999999999999999999",
        ("seed is 99999999999999999999", "give a value less than 9223372036854775808"),
    ),
    Wrong(
        "a training seed over 64 bits",
        "train sudoku4 --seed 99999999999999999999 --out {folder}/x",
        ("seed is 99999999999999999999", "2^63 - 1"),
    ),
    Wrong(
        "a learning rate that is not finite",
        "train sudoku4 --lr inf --out {folder}/x",
        ("optimizer.lr is inf", "give a number from 0 to 1,000,000"),
    ),
    Wrong(
        "too many mazes",
        "data build maze --source generated --subsample-size 99999999999999999999 --out {folder}/x",
        ("subsample_size is 99999999999999999999", "give 1 to 10,000,000"),
    ),
    Wrong("a number as a path", "sensors check video --set path=12", ("path is 12: give a path, in quotes",)),
    Wrong("a new sensor without a name", "sensors new 9lives --into {folder}", ("give lower-case letters",)),
]


@pytest.mark.parametrize("wrong", TABLE, ids=lambda wrong: wrong.story)
def test_it_is_refused_in_one_line(
    wrong: Wrong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = _make_places(tmp_path, wrong.config)
    for name, value in wrong.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    code = invoke([_fill(word, places) for word in wrong.arguments.split()])

    printed = capsys.readouterr()
    assert code == 2, printed.err
    assert printed.err.startswith("sage: ")
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    for part in wrong.says:
        assert _fill(part, places) in printed.err


def _make_places(tmp_path: Path, config: str) -> dict[str, Path]:
    places = {name: tmp_path / name for name in ("config", "folder", "file", "binary", "loop")}
    places["folder"].mkdir()
    places["file"].write_text("")
    places["binary"].write_bytes(b"\xff\xfe\x00")
    places["loop"].symlink_to(places["loop"])
    places["config"].write_text(_fill(config, places))
    return places


def _fill(text: str, places: dict[str, Path]) -> str:
    """Only our own names: the text of a configuration has braces of its own."""
    for name, path in places.items():
        text = text.replace(f"{{{name}}}", str(path))
    return text
