"""Settings of the operating modes and of the energy that they spend (docs/attention.md)."""

from __future__ import annotations

from pydantic import Field, model_validator

from sage.runtime.section import Section


class EnergyCosts(Section):
    """Energy that each purpose costs."""

    tick: float = Field(0.05, ge=0)
    source: float = Field(0.01, ge=0, description="full attention to one source")
    segment: float = Field(0.1, ge=0, description="of the prediction, or of one puzzle")
    practice_step: float = Field(0.5, ge=0)
    night_step: float = Field(0.5, ge=0, description="of a night, the observation model's or a stream's")
    action: float = Field(0.05, ge=0, description="one effector's")
    recall: float = Field(0.02, ge=0, description="of memory, once a tick")

    def by_purpose(self) -> dict[str, float]:
        return dict(self.model_dump())


class EnergyConfig(Section):
    """The ledger of compute credit (docs/attention.md). Disabled: nothing is charged or limited."""

    enabled: bool = False
    supply: float = Field(1000.0, gt=0, le=1e9)
    reserve: float = Field(0.05, ge=0, lt=1, description="share of the supply that is for crises")
    recharge_per_sec: float = Field(20.0, ge=0, le=1e9)
    costs: EnergyCosts = EnergyCosts()


class MetabolismConfig(Section):
    """When the operating mode changes, and what a mode may spend."""

    rests: bool = Field(True, description="REST after a calm time")
    rest_after_secs: float = Field(10.0, gt=0, description="calm time before REST")
    rest_segments: int | None = Field(
        None, ge=1, le=64, description="of the prediction in REST; null: budget.segments"
    )
    rest_change: float | None = Field(
        None,
        gt=0,
        le=1,
        description="calm is then a change of the readings below this share of its running mean, whatever is"
        " salient; null: calm is what is not salient",
    )
    rest_puzzles: bool = Field(True, description="solve puzzles in REST")
    focuses: bool = Field(False, description="FOCUS while much is salient")
    focus_demand: float = Field(
        0.3,
        gt=0,
        le=1,
        description="running share of salient ticks from which FOCUS begins; it ends below half",
    )
    focus_segments: int | None = Field(
        None, ge=1, le=64, description="of the prediction in FOCUS; null: budget.segments"
    )
    focus_practises: bool = Field(False, description="practise in FOCUS, too")
    focus_rate_hz: float | None = Field(
        None, gt=0, le=1000, description="of ticks in FOCUS; null: tick.rate_hz"
    )
    rest_energy: float = Field(0.3, ge=0, le=1, description="share of energy below which REST begins")
    wake_energy: float = Field(0.4, ge=0, le=1, description="share of energy from which REST may end")
    crisis_energy: float = Field(0.05, ge=0, lt=1, description="share of energy at which CRISIS begins")
    recovered_energy: float = Field(0.2, gt=0, le=1, description="share of energy from which CRISIS may end")

    @model_validator(mode="after")
    def _ordered(self) -> MetabolismConfig:
        if not self.crisis_energy < self.recovered_energy or not self.rest_energy <= self.wake_energy:
            raise ValueError(
                "crisis_energy is not below recovered_energy, or rest_energy is above wake_energy: a state"
                " would be left and entered again at once"
            )
        return self
