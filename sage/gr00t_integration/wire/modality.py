"""What a policy takes and returns, as it is sent: one ModalityConfig for each of video, state, action and
language.

Upstream constructs its own class from the map, so that an unknown key is an error there: only its keys are
sent. Unknown keys that arrive are ignored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from sage.gr00t_integration.wire.errors import WireError

#: N1.5 sends the two first keys, in JSON text; N1.6 and later all five, as a map.
BodyForm = Literal["text", "map"]
MAX_KEYS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalityConfig:
    """delta_indices: offsets in frames from the newest, of the values that are sent.  modality_keys: names.

    action_configs: of action keys, in order: maps with rep, type and format; None: not given.
    form: how it was, or is, written.
    """

    delta_indices: tuple[int, ...]
    modality_keys: tuple[str, ...]
    action_configs: tuple[dict[str, Any], ...] | None = None
    form: BodyForm = "map"

    def body(self) -> Any:
        """The value of `as_json`."""
        plain: dict[str, Any] = {
            "delta_indices": list(self.delta_indices),
            "modality_keys": list(self.modality_keys),
        }
        if self.form == "text":
            return json.dumps(plain)
        plain["sin_cos_embedding_keys"] = None
        plain["mean_std_embedding_keys"] = None
        plain["action_configs"] = None if self.action_configs is None else list(self.action_configs)
        return plain

    @classmethod
    def from_body(cls, body: Any) -> ModalityConfig:
        """WireError where it is neither a map nor its JSON text, or a key is missing."""
        form: BodyForm = "text" if isinstance(body, str) else "map"
        if isinstance(body, str):
            try:
                body = json.loads(body)
            except (ValueError, RecursionError) as error:
                raise WireError(f"modality: not JSON: {error}: is it a policy server?") from error
        if not isinstance(body, dict):
            raise WireError(f"modality: {type(body).__name__}: send a map with delta_indices, modality_keys")
        deltas = _all_of(body.get("delta_indices"), int)
        keys = _all_of(body.get("modality_keys"), str)
        if deltas is None or keys is None:
            raise WireError(
                f"modality: {str(body)[:120]}: send delta_indices, a list of integers, and modality_keys, a"
                " list of names"
            )
        configs = _all_of(body.get("action_configs"), dict)
        return cls(delta_indices=deltas, modality_keys=keys, action_configs=configs, form=form)


def _all_of(values: Any, kind: type) -> tuple[Any, ...] | None:
    """`values` as a tuple; None unless it is a list of `kind`, of MAX_KEYS at most."""
    if not isinstance(values, list) or len(values) > MAX_KEYS:
        return None
    if not all(isinstance(value, kind) and not isinstance(value, bool) for value in values):
        return None
    return tuple(values)
