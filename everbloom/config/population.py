"""How simulated devices behave."""

from typing import Annotated

from pydantic import BeforeValidator, Field, PositiveFloat, SerializeAsAny

from everbloom.methods import AVAILABILITIES, Availability
from everbloom.registry import Table


class SpeedConfig(Table):
    """How fast devices train: log-normal over devices, one draw a device for the whole run."""

    seconds_per_example: Annotated[float, Field(ge=0)]
    """The median device's time for one of its events in one local step."""
    sigma: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of the logarithm: 0.7 makes one device in forty 4 times as slow as the median, and one 4 times as fast."""


class BandwidthConfig(Table):
    """How fast devices send and receive parameters: log-normal over devices, one draw a device for both ways and the whole run."""

    download: PositiveFloat
    """The median device's bytes per second."""
    upload: PositiveFloat
    """The median device's bytes per second."""
    sigma: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of the logarithm."""


class PopulationConfig(Table):
    """How the devices of a simulation in process behave: when they can be asked, how long they take, how they fail. Without this table everybody is
    always there, answers at once and never fails. On Flower, devices come and go by themselves and this table is not read."""

    availability: Annotated[SerializeAsAny[Availability], BeforeValidator(AVAILABILITIES.parse)] = Field(
        default_factory=lambda: AVAILABILITIES.parse({"name": "constant"})
    )
    speed: SpeedConfig | None = None
    """None: training takes no time, unless a trace tells each device's speed."""
    bandwidth: BandwidthConfig | None = None
    """None: messages take no time."""
    overhead_seconds: Annotated[float, Field(ge=0)] = 0.0
    """What a device needs beside training and transfer, each time it is asked."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a device that was asked never answers."""
    start_seconds: Annotated[int, Field(ge=0)] = 0
    """When the first round begins: seconds after midnight, or into a trace."""
    pause_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Between the close of a round and the next one."""
