"""Metric records: the lines of `metrics.jsonl`, an interface that tools rely on."""

from collections.abc import Mapping
from typing import Literal

from everbloom.data.timeline import Split

Protocol = Literal["full", "sampled-99", "on-devices"]
"""`on-devices`: the full ranking, but each device measures itself, and only sums are known."""
Record = dict[str, str | int | float]

FEDERATED = "federated"
"""The `model` of what is trained; every other name is a baseline's."""
LABELS = frozenset({"period", "round", "split", "protocol", "slice", "model", "users", "after"})
"""Keys of a record that are no measures."""
_DECIMALS = 6  # the last bits of a mean differ between machines and numpy versions; the file must not


def metric_record(
    *,
    period: int,
    round: int,
    split: Split,
    protocol: Protocol,
    slice: str,
    model: str,
    users: int,
    values: Mapping[str, float],
    after: int | None = None,
) -> Record:
    """One flat record: the keys in this function's order, then `values` in their own, rounded to 6 decimals.

    `users` is the number of cases; `after`, where it is given, the last period that the model has learnt.
    """
    record: Record = {
        "period": period,
        "round": round,
        "split": split,
        "protocol": protocol,
        "slice": slice,
        "model": model,
        "users": users,
        **({} if after is None else {"after": after}),
    }
    return record | {key: _rounded(value) for key, value in values.items()}


def _rounded(value: float) -> float:
    return round(float(value), _DECIMALS) + 0.0  # + 0.0 turns the -0.0 that rounding may leave into 0.0
