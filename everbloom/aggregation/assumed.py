"""What rules share that count on a share of wrong devices."""

from typing import Annotated

from pydantic import Field

from everbloom.methods import AggregationRule


class CountsOnHonest(AggregationRule):
    """Holds while at most this share of a round's devices is wrong."""

    byzantine: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    """The share of a round's devices that may send anything. Cohorts are drawn: leave room above the share in the population."""

    def wrong(self, clients: int) -> int:
        """How many of so many."""
        return int(self.byzantine * clients)

    def floor(self, clients: int) -> int:
        """Devices that a row is decided among, at least: of them the wrong ones are a minority, whichever rows they choose."""
        return 2 * self.wrong(clients) + 1
