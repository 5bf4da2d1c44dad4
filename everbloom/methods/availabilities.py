"""Who can be asked when."""

from abc import abstractmethod
from typing import TYPE_CHECKING

from everbloom.registry import Method, Registry

if TYPE_CHECKING:
    from everbloom.availability.presence import Presence


class Availability(Method):
    """Who of a simulated population can be asked when."""

    @abstractmethod
    def open(self, clients: int, seed: int) -> "Presence":
        """What this says of a population of so many clients. Raises `DataError` if it rests on a file that does not fit them."""


AVAILABILITIES: Registry[Availability] = Registry(
    "availability",
    Availability,  # type: ignore[type-abstract]
    {
        "constant": "everbloom.availability.constant:ConstantAvailability",
        "daily": "everbloom.availability.daily:DailyAvailability",
        "trace": "everbloom.availability.trace:TraceAvailability",
    },
)
