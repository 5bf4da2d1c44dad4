"""Everything that decides the privacy guarantee."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, SerializeAsAny, model_validator

from everbloom.config.numbers import Fraction
from everbloom.methods import MECHANISMS, Mechanism
from everbloom.registry import Table


class PrivacyConfig(Table):
    """Everything that decides the privacy guarantee."""

    unit: Literal["none", "example", "interaction", "user"] = "none"
    """Of what one more or one less is hidden: one example of a device, one interaction, or everything of one user."""
    mechanism: Annotated[SerializeAsAny[Mechanism], BeforeValidator(MECHANISMS.parse)] | None = None
    """Who clips and who adds the noise. Default: `dp-sgd` for examples and interactions, `central` for users."""
    epsilon: PositiveFloat | None = None
    """The budget of one device over the whole run; the noise is calibrated to it."""
    delta: Annotated[float, Field(gt=0, lt=1)] | None = None
    noise_multiplier: PositiveFloat | None = None
    """Instead of epsilon: the noise's standard deviation over the sensitivity; epsilon is computed."""
    clip_norm: PositiveFloat = 1.0
    """L2 bound of one example's gradient (`dp-sgd`) or of a device's whole update (user unit)."""
    sampling: Literal["full", "poisson"] = "full"
    """`dp-sgd`: which examples a local step reads: all of them, or each with probability `sample_rate`."""
    sample_rate: Fraction | None = None
    denominator: PositiveFloat = 50.0
    """`dp-sgd`: fixed, public divisor of the noisy sum of a step (an expected batch size); the true number of examples would leak."""
    max_participations: PositiveInt | None = None
    """A device takes part in at most this many rounds of the run; default: every round."""
    max_participations_per_period: PositiveInt | None = None
    """And in at most this many of one period: what a device can spend on one period, so that there is something left for the next."""

    @model_validator(mode="before")
    @classmethod
    def _default_mechanism(cls, table: Any) -> Any:
        if (
            isinstance(table, Mapping)
            and table.get("mechanism") is None
            and (name := _MECHANISM_OF.get(str(table.get("unit"))))
        ):
            return {**table, "mechanism": {"name": name}}
        return table

    @model_validator(mode="after")
    def _consistent(self) -> "PrivacyConfig":
        if "unit" not in self.model_fields_set and self.model_fields_set:
            raise ValueError(
                'unit is missing, so nothing would be private: set privacy.unit to "example", "interaction" or "user" '
                '(or "none", to ignore the rest of this table)'
            )
        if self.unit == "none":
            return self
        if self.delta is None:
            raise ValueError(
                "delta is missing: epsilon means nothing without it; set privacy.delta (well below 1 / examples of a device, or 1 / users)"
            )
        if (self.epsilon is None) == (self.noise_multiplier is None):
            raise ValueError(
                "give exactly one of epsilon (noise is calibrated) and noise_multiplier (epsilon is computed)"
            )
        if (self.sampling == "poisson") != (self.sample_rate is not None):
            raise ValueError('sample_rate goes with sampling = "poisson", and only with it')
        assert self.mechanism is not None
        if self.unit not in self.mechanism.units:
            raise ValueError(
                f'mechanism "{self.mechanism.name}" gives no guarantee for unit "{self.unit}", only for: {", ".join(self.mechanism.units)}'
            )
        return self


_MECHANISM_OF = {"example": "dp-sgd", "interaction": "dp-sgd", "user": "central"}
"""unit -> the mechanism that is meant when none is named."""
