"""The reference of the experiment file, written from the models that parse it: `python -m everbloom.reference > docs/experiment-file.md`."""

import sys
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from everbloom.experiment import Experiment
from everbloom.methods import (
    ADAPTERS,
    AGGREGATION_RULES,
    ALGORITHMS,
    AVAILABILITIES,
    COMPRESSIONS,
    EXPLORATIONS,
    FEATURE_ENCODERS,
    FEDERATED_BASELINES,
    MECHANISMS,
    MODALITIES,
    OBJECTIVES,
    SERVER_OPTIMIZERS,
    SOURCES,
    TRACKERS,
    USER_MODELS,
)
from everbloom.registry import Method, Registry, Table

_HEAD = """# The experiment file

Written by `python -m everbloom.reference`; a test keeps it in step with the code. An unknown key is an error.
`-s table.key=value` overrides any of them.
"""


def experiment_reference() -> str:
    """Markdown: a section a table, then a section a family with its methods."""
    families: list[Registry[Any]] = [
        SOURCES,
        FEATURE_ENCODERS,
        MODALITIES,
        ADAPTERS,
        OBJECTIVES,
        ALGORITHMS,
        MECHANISMS,
        COMPRESSIONS,
        SERVER_OPTIMIZERS,
        AGGREGATION_RULES,
        AVAILABILITIES,
        USER_MODELS,
        EXPLORATIONS,
        TRACKERS,
        FEDERATED_BASELINES,
    ]
    sections = [_HEAD, *_tables(Experiment, "")]
    for family in families:
        sections.append(f"## {family.family[0].upper()}{family.family[1:]}: the methods of a `name`\n")
        for name in family.names():
            sections += _method(name, family.method_class(name))
    return "\n".join(sections)


def _tables(table: type[Table], path: str) -> Iterator[str]:
    yield _section(f"`[{path}]`" if path else "Top level", table, level=2)
    for name, field in table.model_fields.items():
        for inner in _inner_tables(field.annotation):
            yield from _tables(inner, f"{path}.{name}" if path else name)


def _method(name: str, method: type[Method]) -> Iterator[str]:
    yield _section(f"`{name}`", method, level=3)
    for key, field in method.model_fields.items():
        for inner in _inner_tables(field.annotation):
            yield _section(f"`{name}`: `{key}`", inner, level=4)


def _inner_tables(annotation: Any) -> list[type[Table]]:
    """The tables in an annotation; a method's table stands in its family's section."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return [] if issubclass(annotation, Method) else [annotation]
    return [table for part in get_args(annotation) for table in _inner_tables(part)]


def _section(title: str, table: type[Table], level: int) -> str:
    lines = [f"{'#' * level} {title}", "", " ".join((table.__doc__ or "").split()), ""]
    rows = [_row(name, field) for name, field in table.model_fields.items() if not _is_title(name, table)]
    if rows:
        lines += ["| key | type | default | |", "|---|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _is_title(name: str, table: type[Table]) -> bool:
    return name == "name" and issubclass(table, Method)


def _row(name: str, field: FieldInfo) -> str:
    cells = [
        f"`{field.alias or name}`",
        f"`{_type(field.annotation)}`",
        _default(field),
        " ".join((field.description or "").split()),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0])
    if origin is Literal:
        return " | ".join(f'"{part}"' for part in parts)
    if origin in (Union, UnionType):
        return " | ".join(_type(part) for part in parts)
    if parts:
        return f"{origin.__name__}[{', '.join(_type(part) for part in parts)}]"
    return "..." if annotation is Ellipsis else "None" if annotation is type(None) else str(annotation.__name__)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True) if not field.is_required() else PydanticUndefined
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, Method):
        return f"`{value.name}`"
    if isinstance(value, Table):
        return "its defaults"
    return f"`{value!r}`"


if __name__ == "__main__":
    sys.stdout.write(experiment_reference())
