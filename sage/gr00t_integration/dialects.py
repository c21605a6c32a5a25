"""The dialects of one protocol: how an observation, its actions and the modalities are written.

n1.5     flat keys, actions float64, without a batch dimension unless the observation has one
n1.6     maps of maps, the reply is [actions, info]; enums by value
n1.7     as n1.6; enums by name
n2-flat  flat keys, actions float32 without a batch dimension of 1

Invariant: `actions(reply(x)) == x` and `observation(request(x)) == x` in each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from sage.errors import InputError
from sage.gr00t_integration.embodiment import Embodiment
from sage.gr00t_integration.observation import Observation
from sage.gr00t_integration.wire.errors import WireError
from sage.gr00t_integration.wire.modality import ModalityConfig

DialectName = Literal["n1.5", "n1.6", "n1.7", "n2-flat"]
MODALITIES = ("video", "state", "action", "language")


class Dialect(Protocol):
    """One way of writing. has_reset: the server has the endpoint `reset`."""

    @property
    def name(self) -> DialectName: ...

    @property
    def has_reset(self) -> bool: ...

    def request(self, observation: Observation) -> dict[str, Any]:
        """The `data` of get_action."""
        ...

    def observation(self, data: Any) -> tuple[Observation, bool]:
        """The inverse, and whether it has a batch dimension. WireError where it is another dialect's."""
        ...

    def reply(self, actions: dict[str, np.ndarray], *, is_batched: bool) -> Any:
        """The reply to get_action. actions: name -> (B, T, D) float32."""
        ...

    def actions(self, reply: Any) -> dict[str, np.ndarray]:
        """The inverse: name -> (B, T, D) float32. WireError for another form."""
        ...

    def modalities(self, embodiment: Embodiment) -> dict[str, ModalityConfig]:
        """The reply to get_modality_config."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NestedDialect:
    """n1.6 and n1.7."""

    name: DialectName
    has_reset: bool = True

    def request(self, observation: Observation) -> dict[str, Any]:
        plain = {
            "video": observation.video,
            "state": observation.state,
            "language": observation.language,
        }
        return {"observation": plain, "options": None}

    def observation(self, data: Any) -> tuple[Observation, bool]:
        inner = data.get("observation") if isinstance(data, dict) else None
        if not isinstance(inner, dict):
            raise WireError(f"get_action: data has no map 'observation': {self.name} takes one, with options")
        parts = {}
        for group in ("video", "state", "language"):
            part = inner.get(group)
            if not isinstance(part, dict):
                raise WireError(f"observation: no map {group!r}: {self.name} takes video, state and language")
            parts[group] = part
        return Observation(**parts), True

    def reply(self, actions: dict[str, np.ndarray], *, is_batched: bool) -> Any:
        return [actions, {}]

    def actions(self, reply: Any) -> dict[str, np.ndarray]:
        if not isinstance(reply, list) or len(reply) != 2 or not isinstance(reply[0], dict):
            raise WireError(f"get_action: the reply is {_form(reply)}: {self.name} returns [actions, info]")
        return {str(name): _float32(str(name), value) for name, value in reply[0].items()}

    def modalities(self, embodiment: Embodiment) -> dict[str, ModalityConfig]:
        plain = _modalities(embodiment, "", "map")
        is_upper = self.name == "n1.7"
        configs = tuple(
            {
                "rep": _cased(key.representation, is_upper),
                "type": _cased("eef" if key.is_eef else "non_eef", is_upper),
                "format": _cased("default", is_upper),
                "state_key": None,
            }
            for key in embodiment.action.keys.values()
        )
        action = plain["action"]
        plain["action"] = ModalityConfig(
            delta_indices=action.delta_indices, modality_keys=action.modality_keys, action_configs=configs
        )
        return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatDialect:
    """n1.5 and n2-flat."""

    name: DialectName

    @property
    def has_reset(self) -> bool:
        return self.name != "n1.5"

    def request(self, observation: Observation) -> dict[str, Any]:
        video = {f"video.{view}": array for view, array in observation.video.items()}
        state = {f"state.{name}": array for name, array in observation.state.items()}
        language = {key: [item[0] for item in texts] for key, texts in observation.language.items()}
        if self.name == "n1.5" and observation.batch_size == 1:
            video = {key: array[0] for key, array in video.items()}
            state = {key: array[0] for key, array in state.items()}
        return {**video, **state, **language}

    def observation(self, data: Any) -> tuple[Observation, bool]:
        if not isinstance(data, dict) or not any(str(key).startswith("video.") for key in data):
            raise WireError(f"get_action: data has no key 'video.NAME': {self.name} takes flat keys")
        video = {key[6:]: value for key, value in data.items() if str(key).startswith("video.")}
        state = {key[6:]: value for key, value in data.items() if str(key).startswith("state.")}
        language = {
            key: _texts(key, value) for key, value in data.items() if str(key).startswith("annotation.")
        }
        is_batched = all(getattr(value, "ndim", 0) >= 3 for value in state.values()) and bool(state)
        if not is_batched:
            video = {view: _batched(f"video.{view}", value) for view, value in video.items()}
            state = {name: _batched(f"state.{name}", value) for name, value in state.items()}
        state = {name: _float32(f"state.{name}", value) for name, value in state.items()}
        return Observation(video=video, state=state, language=language), is_batched

    def reply(self, actions: dict[str, np.ndarray], *, is_batched: bool) -> Any:
        dtype = np.float64 if self.name == "n1.5" else np.float32
        keeps_batch = is_batched if self.name == "n1.5" else False
        flat = {}
        for name, array in actions.items():
            is_single = len(array) == 1 and not keeps_batch
            flat[f"action.{name}"] = (array[0] if is_single else array).astype(dtype)
        return flat

    def actions(self, reply: Any) -> dict[str, np.ndarray]:
        if not isinstance(reply, dict):
            raise WireError(
                f"get_action: the reply is {_form(reply)}: {self.name} returns keys 'action.NAME'"
            )
        found = {}
        for key, value in reply.items():
            if str(key).startswith("action."):
                array = _float32(str(key), value)
                found[str(key)[7:]] = array[None] if array.ndim == 2 else array
        if not found:
            raise WireError(f"get_action: the reply has no key 'action.NAME': {self.name} returns them")
        return found

    def modalities(self, embodiment: Embodiment) -> dict[str, ModalityConfig]:
        return _modalities(embodiment, ".", "text" if self.name == "n1.5" else "map")


DIALECTS: Mapping[DialectName, Dialect] = {
    "n1.5": FlatDialect(name="n1.5"),
    "n1.6": NestedDialect(name="n1.6"),
    "n1.7": NestedDialect(name="n1.7"),
    "n2-flat": FlatDialect(name="n2-flat"),
}


def dialect_named(name: str) -> Dialect:
    """InputError for an unknown name."""
    for known, dialect in DIALECTS.items():
        if known == name:
            return dialect
    raise InputError(f"dialect {name}: unknown: give one of {', '.join(DIALECTS)}")


def detect(reply: Any) -> Dialect:
    """The dialect of a server, from its reply to get_modality_config. WireError where it is none.

    JSON text is n1.5; flat names (`state.arm`) in maps are n2-flat; enums in lower case are n1.6.
    """
    modalities = read_modalities(reply)
    if any(config.form == "text" for config in modalities.values()):
        return DIALECTS["n1.5"]
    if all(name.startswith("video.") for name in modalities["video"].modality_keys):
        return DIALECTS["n2-flat"]
    configs = modalities["action"].action_configs or ()
    enums = [str(config.get("rep", "")) for config in configs]
    return DIALECTS["n1.6"] if any(text.islower() for text in enums) else DIALECTS["n1.7"]


def read_modalities(reply: Any) -> dict[str, ModalityConfig]:
    """The four modalities of a reply to get_modality_config; others are left out."""
    if not isinstance(reply, dict):
        raise WireError(f"get_modality_config: the reply is {_form(reply)}: is it a policy server?")
    found = {name: reply[name] for name in MODALITIES if isinstance(reply.get(name), ModalityConfig)}
    missing = [name for name in MODALITIES if name not in found]
    if missing:
        raise WireError(f"get_modality_config: no ModalityConfig for {', '.join(missing)}: update the server")
    return found


def differences(embodiment: Embodiment, modalities: Mapping[str, ModalityConfig]) -> list[str]:
    """In which names and offsets a server's modalities differ from an embodiment; empty where they fit."""
    found = []
    for name, wanted in _modalities(embodiment, "", "map").items():
        config = modalities[name]
        keys = tuple(key.removeprefix(f"{name}.") for key in config.modality_keys)
        if set(keys) != set(wanted.modality_keys):
            found.append(f"{name}: the server has {', '.join(keys)}, not {', '.join(wanted.modality_keys)}")
        if config.delta_indices != wanted.delta_indices:
            found.append(
                f"{name}: the server's delta_indices are {list(config.delta_indices)}, not"
                f" {list(wanted.delta_indices)}"
            )
    return found


def _modalities(embodiment: Embodiment, dot: str, form: Literal["text", "map"]) -> dict[str, ModalityConfig]:
    """dot: "." for flat names, "" for bare ones."""
    parts: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
        "video": (embodiment.video.delta_indices, tuple(embodiment.video.views)),
        "state": (embodiment.state.delta_indices, tuple(embodiment.state.dims)),
        "action": (tuple(range(embodiment.action.horizon)), tuple(embodiment.action.keys)),
        "language": ((0,), (embodiment.language,)),
    }
    return {
        name: ModalityConfig(
            delta_indices=deltas,
            modality_keys=tuple(f"{name}{dot}{key}" if dot and name != "language" else key for key in keys),
            form=form,
        )
        for name, (deltas, keys) in parts.items()
    }


def _cased(text: str, is_upper: bool) -> str:
    return text.upper() if is_upper else text


def _texts(key: str, value: Any) -> list[list[str]]:
    """[text] and [[text]], and for one text the text itself, as [[text]]."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list):
        raise WireError(f"{key}: {_form(value)}: send a list of texts")
    return [item if isinstance(item, list) else [item] for item in values]


def _batched(key: str, value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise WireError(f"{key}: {_form(value)}: send an array")
    return value[None]


def _float32(key: str, value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        raise WireError(f"{key}: {_form(value)}: send an array of floating-point numbers")
    with np.errstate(over="ignore"):  # beyond float32 is infinity, which the checks refuse
        converted: np.ndarray = value.astype(np.float32)
    return converted


def _form(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype.name}"
    return f"a {type(value).__name__}"
