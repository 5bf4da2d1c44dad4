"""What its owner lets a device do for a federation: `policy.toml`, which only the owner writes. Whatever a server asks is held against it first."""

import datetime
import os
import stat
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, field_validator

from everbloom.errors import ConfigError, PrivacyError
from everbloom.registry import Table

_TIME = r"([01]\d|2[0-3]):[0-5]\d"


class Server(Table):
    """A federation that the device takes part in. What is given must hold; a key that is left out is not asked for."""

    name: str
    model_schema: str | None = Field(None, alias="schema")
    """The parameter schema of its model (16 hexadecimal digits): another model is refused."""
    catalogue: str | None = None
    """SHA-256 of the catalogue, as `everbloom-device status` shows it."""
    key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """The server's Ed25519 public key in hexadecimal: a task or model that is not signed with it is refused."""


class OwnerPolicy(Table):
    """Everything that is not allowed here is refused."""

    epsilon: PositiveFloat
    """All that this device may ever spend, at `delta` or a smaller one. Its ledger keeps the budget that stood at its first round; a lower one here
    holds too, a higher one does not."""
    delta: Annotated[float, Field(gt=0, lt=1)]
    units: Annotated[tuple[str, ...], Field(min_length=1)] = ("user", "interaction", "example")
    """What a plan must hide at least one of. `none`, that is no privacy, can be given for a simulation alone."""
    mechanisms: Annotated[tuple[str, ...], Field(min_length=1)] = ("dp-sgd", "local", "distributed")
    """Who may add the noise. These do it on devices; `central` and `matrix-factorisation` rest on a server that keeps its word."""
    min_cohort: PositiveInt = 10
    """Fewest devices of a round; under secure aggregation also of every sum, which the device checks itself."""
    evaluation: bool = False
    """Whether a server may ask how good its model is here, on events that were held out; noised and charged as one more round."""
    period_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the budget that one period's rounds may spend; fixed when the device is made."""
    hours: Annotated[str, Field(pattern=f"^{_TIME}-{_TIME}$")] | None = None
    """When to train, local time, for example "22:00-06:00"; None: always."""
    servers: tuple[Server, ...] = ()
    """None: nobody is answered."""

    @field_validator("units", "mechanisms")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if any(not name for name in names):
            raise ValueError("expected names, found an empty one")
        return names

    def open_at(self, now: datetime.time) -> bool:
        """Whether training is allowed at this time of day."""
        if self.hours is None:
            return True
        start, end = (datetime.time.fromisoformat(part) for part in self.hours.split("-"))
        return start <= now < end if start <= end else now >= start or now < end


def read_policy(path: Path) -> OwnerPolicy:
    """Raises `ConfigError` if it is not there or wrong, `PrivacyError` if others than its owner can write it."""
    try:
        status = path.stat()
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: the owner's policy is missing; without it every request is refused") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a policy that can be read: {error}") from None
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PrivacyError(
            f"{path}: others than the owner can write it (mode {stat.S_IMODE(status.st_mode):o}); chmod 600 it"
        )
    try:
        return OwnerPolicy.model_validate(tables)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigError(f"{path}: {problems}") from None


NEW_POLICY = """\
# What this device may do for a federation. Only you write this file; it is read anew for every request.
epsilon = {epsilon}          # all that may ever be spent
delta = {delta}
units = ["user", "interaction", "example"]
mechanisms = ["dp-sgd", "local", "distributed"]   # noise is added on devices, never left to a server
min_cohort = {min_cohort}
# evaluation = true        # also tell how good a model is here, noised and charged like one more round
# hours = "22:00-06:00"    # when to train, local time

[[servers]]
name = "mine"
catalogue = "{catalogue}"
# schema = "..."           # 16 hexadecimal digits: no other model
# key = "..."              # the server's Ed25519 public key: nothing unsigned
"""
