"""Methods with options on a command line: `replay:budget=50:choice=recency`."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from everbloom.errors import ConfigError

_OPTION = re.compile(r"[A-Za-z0-9_]+=[A-Za-z0-9_.+-]+")


def split_choice(option: str, word: str, noun: str, names: Sequence[str], example: str) -> tuple[str, tuple[str, ...]]:
    """(name, options as given) of a word. `example`: what one looks like. Raises `ConfigError`, naming the command's `option`, for anything else."""
    name, *given = word.split(":")
    if name not in names:
        raise ConfigError(f"{option} {word}: unknown {noun} {name!r}; expected some of: {', '.join(names)}")
    for one in given:
        if not _OPTION.fullmatch(one):
            raise ConfigError(f"{option} {word}: {one!r} is no option; expected key=value, as in {example}")
    return name, tuple(given)


def method_table(name: str, options: Sequence[str], own: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The table of a method in an experiment file. `own`: the experiment's, whose options hold if it is that of the same method."""
    table = dict(own) if own is not None and own.get("name") == name else {"name": name}
    for option in options:
        key, _, text = option.partition("=")
        table[key] = _value(text)
    return table


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
