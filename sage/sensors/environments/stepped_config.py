"""The settings of a world that moves one step at each action."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from sage.sensors.config import EnvironmentConfig

if TYPE_CHECKING:
    from typing_extensions import Self


class SteppedConfig(EnvironmentConfig):
    """Base of the `Config` of a world that moves by steps.

    seed: of its first state and everything random after it.  rate_hz: nominal, of its readings.
    effect, target: what the policy's rules match.  timeout_secs: how long one step may take; longer is a
    fault.
    """

    seed: int = Field(0, ge=0, lt=2**31)
    rate_hz: float = Field(20.0, gt=0, le=1000)
    effect: str = Field("simulated", min_length=1)
    target: str = Field("world", min_length=1)
    timeout_secs: float = Field(0.05, gt=0)

    def perturbed(self, amount: float, seed: int) -> Self:
        """Other episodes in the same world; a kind with physics of its own varies them by `amount`, 0 to
        1.
        """
        return self.model_copy(update={"seed": seed})
