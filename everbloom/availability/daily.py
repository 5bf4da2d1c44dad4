"""Devices that can be asked at night, when they are charged, idle and on an unmetered network (Bonawitz et al., 2019, arXiv 1902.01046)."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from everbloom.availability.slots import Slots
from everbloom.methods import Availability


class DailyAvailability(Availability):
    """A cosine over the day between `low` and `high`, by each device's own clock; in every session each device is there with that probability."""

    name: Literal["daily"]
    low: Annotated[float, Field(ge=0, le=1)] = 0.05
    """The share that is there at the worst hour."""
    high: Annotated[float, Field(gt=0, le=1)] = 0.4
    """The share that is there at the best hour, `peak_hour`."""
    peak_hour: Annotated[float, Field(ge=0, lt=24)] = 2.0
    time_zones: Annotated[int, Field(ge=1, le=24)] = 1
    """Devices live in so many neighbouring zones, an hour apart, each in one that the seed deals it; 24 makes the world's."""
    session_seconds: PositiveInt = 3600
    """Who is there is drawn anew after this long."""

    @model_validator(mode="after")
    def _consistent(self) -> "DailyAvailability":
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is more than high {self.high:g}; exchange them and move peak_hour")
        return self

    def open(self, clients: int, seed: int) -> Slots:
        """See `Availability`."""
        return Slots(seed, self.session_seconds, self.low, self.high, 3600 * self.peak_hour, self.time_zones)
