"""Any registered environment of gymnasium (kind: gymnasium), with the extra `robot`.

`{kind: gymnasium, id: CartPole-v1}` has the sensors gymnasium.observation, gymnasium.reward and
gymnasium.reset and the effector gymnasium.action. Invariant: equal seeds and equal actions give equal
readings where the environment itself is deterministic.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any, Literal

import numpy as np
from pydantic import Field

from sage.errors import InputError, pass_on
from sage.sensors.contract import SensorContext, SensorError, SensorUnavailable
from sage.sensors.environments.gymnasium_spaces import action_control, observation_parts
from sage.sensors.environments.stepped import Control, Step, SteppedConfig, SteppedEnvironment, View


class GymnasiumConfig(SteppedConfig):
    """id: as registered, for example CartPole-v1, or module:Name-v0 for one that a module registers.

    kwargs: given to gymnasium.make.  channels: names of the numbers of an observation that is one vector.
    action_limit: the range of an action's channels that have none, -limit to limit.
    """

    kind: Literal["gymnasium"] = "gymnasium"
    id: str = Field(min_length=1)
    kwargs: dict[str, Any] = Field(default_factory=dict)
    channels: tuple[str, ...] = ()
    action_limit: float | None = Field(None, gt=0)


class GymnasiumEnvironment(SteppedEnvironment):
    """An environment of gymnasium. SensorUnavailable where gymnasium is missing, InputError for an id, kwargs
    or a space that cannot be used.
    """

    Config = GymnasiumConfig

    def __init__(self, config: GymnasiumConfig, context: SensorContext) -> None:
        super().__init__(config, context, GymnasiumWorld(config))


class GymnasiumWorld:
    """A StepWorld around gymnasium.make(id)."""

    def __init__(self, config: GymnasiumConfig) -> None:
        self._config = config
        self._environment: Any = self._make()
        try:
            self._parts = observation_parts(self._environment.observation_space, config.channels)
            self._control, self._action_of = action_control(
                self._environment.action_space, config.action_limit
            )
        except InputError as error:
            raise InputError(f"{config.name}: {config.id}: {error}") from None

    @property
    def views(self) -> tuple[View, ...]:
        return tuple(part.view for part in self._parts)

    @property
    def control(self) -> Control:
        return self._control

    def open(self) -> None:
        if self._environment is None:
            self._environment = self._make()

    def reset(self, seed: int | None) -> tuple[np.ndarray, ...]:
        observation, _ = self._environment.reset(seed=seed)
        return self._views(observation)

    def step(self, values: np.ndarray) -> Step:
        observation, reward, is_over, is_cut, _ = self._environment.step(self._action_of(values))
        return Step(
            views=self._views(observation), reward=float(reward), is_over=bool(is_over), is_cut=bool(is_cut)
        )

    def close(self) -> None:
        environment, self._environment = self._environment, None
        if environment is not None:
            environment.close()

    def _views(self, observation: Any) -> tuple[np.ndarray, ...]:
        try:
            return tuple(part.read(observation) for part in self._parts)
        except (TypeError, ValueError, KeyError, IndexError) as error:
            raise SensorError(
                f"{self._config.name}: the observation does not fit the space that {self._config.id}"
                f" declares: {type(error).__name__}: {error}"
            ) from error

    def _make(self) -> Any:
        name = self._config.name
        try:
            import gymnasium
        except ImportError:
            raise SensorUnavailable(
                f"{name}: gymnasium is not installed: pip install 'sage-runtime[robot]'"
            ) from None
        warnings = io.StringIO()  # gymnasium's checker prints advice to the author of an environment
        try:
            with contextlib.redirect_stderr(warnings):
                return gymnasium.make(self._config.id, disable_env_checker=True, **self._config.kwargs)
        except gymnasium.error.DependencyNotInstalled as error:
            raise SensorUnavailable(f"{name}: {self._config.id}: {_one_line(error)}") from None
        except BaseException as error:  # around a plug-in: an unknown id, wrong kwargs, or its own check
            pass_on(error)
            raise InputError(
                f"{name}: {self._config.id} with kwargs {self._config.kwargs} cannot be made:"
                f" {_one_line(error)}"
            ) from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
