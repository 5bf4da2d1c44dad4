"""Named choices in an experiment file.

A method (a data source, an objective, a server optimizer, ...) is one file with one frozen class: its fields are the table in the experiment file,
its functions are what it does. A registry maps the table's `name` to that class by a dotted path and imports it only when it is chosen, so that
an optional dependency is needed only by those who use it.
"""

import importlib
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from everbloom.errors import ConfigError


class Table(BaseModel):
    """One table of an experiment file: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Method(Table):
    """A table whose `name` chooses the implementation."""

    name: str


class MethodProblems(ValueError):
    """A method's table is wrong: which class it was to become, and pydantic's account of what is wrong."""

    def __init__(self, method: type[Method], problems: ValidationError) -> None:
        super().__init__(str(problems))
        self.method = method
        self.problems = problems


M = TypeVar("M", bound=Method)


class Registry(Generic[M]):
    """The implementations of one family, by name."""

    def __init__(self, family: str, base: type[M], entries: Mapping[str, str]) -> None:
        """`entries` maps a name to `module:Class`."""
        self.family = family
        self._base = base
        self._entries = dict(entries)

    def names(self) -> list[str]:
        """Every registered name, in the order of registration."""
        return list(self._entries)

    def method_class(self, name: str) -> type[M]:
        """The class behind a name."""
        if name not in self._entries:
            raise ConfigError(f"unknown {self.family} {name!r}; expected one of: {', '.join(self._entries)}")
        module, _, attribute = self._entries[name].partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if not issubclass(found, self._base):
            raise TypeError(f"{self._entries[name]} is registered as {self.family} but is no {self._base.__name__}")
        return found  # type: ignore[no-any-return]

    def parse(self, table: Any) -> Any:
        """A pydantic `BeforeValidator`: turns a table with a `name` (or the bare name) into the method's frozen object; leaves a parsed one alone."""
        if isinstance(table, self._base):
            return table
        if isinstance(table, str):
            table = {"name": table}
        if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
            raise ValueError(f"expected a table with a `name`, one of: {', '.join(self._entries)}")
        try:
            found = self.method_class(table["name"])
        except ConfigError as error:
            raise ValueError(str(error)) from None
        try:
            return found.model_validate(dict(table))
        except ValidationError as error:
            raise MethodProblems(found, error) from None
