"""The same share of the devices is there at any time."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from everbloom.availability.slots import Slots
from everbloom.methods import Availability


class ConstantAvailability(Availability):
    """In every session each device is there with probability `rate`, whatever the hour and whatever it was before."""

    name: Literal["constant"]
    rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    session_seconds: PositiveInt = 3600
    """Who is there is drawn anew after this long."""

    def open(self, clients: int, seed: int) -> Slots:
        """See `Availability`."""
        return Slots(seed, self.session_seconds, self.rate, self.rate)
