"""What a campaign runs: every point with every seed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from everbloom.errors import ConfigError
from everbloom.experiment import Experiment
from simulation.grid import Between


class Point(Protocol):
    """What one place of a grid changes in the experiment, apart from its seed; hashable."""

    @property
    def name(self) -> str:
        """As a part of a directory's name; no two points of a grid share it."""
        ...

    @property
    def label(self) -> str:
        """In words."""
        ...

    @property
    def table(self) -> Mapping[str, Any]:
        """As a TOML table, for the campaign's record."""
        ...


P = TypeVar("P", bound=Point)


@dataclass(frozen=True)
class Cell(Generic[P]):
    """One run."""

    point: P
    seed: int

    @property
    def name(self) -> str:
        """Of its directory."""
        return f"{self.point.name}-seed-{self.seed}"

    @property
    def label(self) -> str:
        """In words."""
        return f"{self.point.label}, seed {self.seed}"


@dataclass(frozen=True)
class Grid(Generic[P]):
    """All points with all seeds."""

    points: tuple[P, ...]
    seeds: tuple[int, ...]

    @property
    def cells(self) -> list[Cell[P]]:
        """In the order in which they are run: one seed everywhere before the next, so that a grid cut short is coarse rather than partial."""
        return [Cell(point, seed) for seed in self.seeds for point in self.points]


@dataclass(frozen=True)
class Family(Generic[P]):
    """A kind of campaign."""

    noun: str
    """What messages call it: a frontier."""
    file: str
    """The name of its record."""
    read: Callable[[Mapping[str, Any]], P]
    """A point from its `table`. Raises `KeyError` or `TypeError` for anything else."""
    variant: Callable[[Experiment, Cell[P]], Experiment]
    """The experiment of one cell. Raises `ConfigError` if the point does not fit the experiment."""
    between: Callable[[P], Between | None] = lambda point: None
    """What the devices' answers pass through in a point's runs; None: nothing."""


def seeds_of(base: Experiment, count: int) -> tuple[int, ...]:
    """So many, from the experiment's own on. Raises `ConfigError`."""
    if count < 1:
        raise ConfigError(f"--seeds {count}: expected 1 or more")
    return tuple(range(base.seed, base.seed + count))


def words(option: str, given: Iterable[str]) -> list[str]:
    """An option's words, each once: a list of words, or of words separated by commas. Raises `ConfigError` for an empty one."""
    found = [word.strip() for text in given for word in text.split(",")]
    if not all(found):
        raise ConfigError(f"{option}: an empty word; expected words separated by commas")
    return list(dict.fromkeys(found))
