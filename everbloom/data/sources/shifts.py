"""What changes abruptly in a synthetic population, and in which step: a known drift that measures can be held to."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from everbloom.registry import Table

Part = Annotated[float, Field(ge=0, le=1)]
LessThanAll = Annotated[float, Field(ge=0, lt=1)]


class Shift(Table):
    """What changes at the beginning of one step, beside the walk of tastes and the arrivals that go on."""

    at: PositiveInt
    """The step, from 1; the first one is 0. Rises from one entry to the next."""
    tastes: Part = 0.0
    """Probability that a user's taste changes; the walk goes on from the new one."""
    taste_change: Literal["redraw", "rotate"] = "redraw"
    """`redraw`: a new taste that knows nothing of the old one. `rotate`: what the user liked of one topic holds for the next topic."""
    popularity: Part = 0.0
    """Share of the items there that exchange their popularity with each other."""
    introduce: LessThanAll = 0.0
    """Share of `items` that arrive now, all at once."""
    retire: LessThanAll = 0.0
    """Share of the items that were there before that are no longer chosen."""
    returns: PositiveInt | None = None
    """The step from which the retired items are chosen again; default: never."""

    @model_validator(mode="after")
    def _consistent(self) -> "Shift":
        if not (self.tastes or self.popularity or self.introduce or self.retire):
            raise ValueError("this shift changes nothing; set tastes, popularity, introduce or retire")
        if self.returns is not None and not self.retire:
            raise ValueError(f"returns = {self.returns} needs retire, the share of items that leave until then")
        if self.returns is not None and self.returns <= self.at:
            raise ValueError(f"returns = {self.returns} must be later than at = {self.at}")
        return self


def check_schedule(shifts: tuple[Shift, ...], steps: int, new_item_rate: float) -> None:
    """Raises `ValueError` if the shifts do not fit a population of so many steps."""
    for before, shift in zip((None, *shifts), shifts, strict=False):
        if before is not None and shift.at <= before.at:
            raise ValueError(
                f"shifts: at = {shift.at} follows at = {before.at}; one entry a step, in the order of the steps"
            )
        late = [f"{key} = {step}" for key, step in (("at", shift.at), ("returns", shift.returns or 0)) if step >= steps]
        if late:
            raise ValueError(
                f"shifts: {late[0]}, but periods = {steps} makes the steps 0 to {steps - 1}; raise periods, or shift earlier"
            )
    arriving = new_item_rate + sum(shift.introduce for shift in shifts)
    if arriving >= 1:
        raise ValueError(
            f"shifts: new_item_rate and what is introduced make {arriving:g} of the items; below 1, so that some are there first"
        )
