"""Timestamps in files."""

from pathlib import Path

import pandas as pd
import pytest

from everbloom.data.times import numbers, unix_seconds
from everbloom.errors import DataError

PATH = Path("events.csv")


@pytest.mark.parametrize(
    ("texts", "time_format", "seconds"),
    [
        (["881250949", "881250949.9", "-5", None], "s", [881250949, 881250949, -5, None]),
        (["1700000000999", None], "ms", [1700000000, None]),
        (
            ["2024-02-29", "2024-02-29T12:00:00Z", "2024-02-29 12:00:00.5+02:00"],
            "iso",
            [1709164800, 1709208000, 1709200800],
        ),
        (["29/02/2024 01:00", None], "%d/%m/%Y %H:%M", [1709168400, None]),
    ],
)
def test_formats(texts, time_format, seconds):
    read = unix_seconds(pd.Series(texts, dtype="str"), time_format, PATH, 0)
    assert [None if pd.isna(value) else int(value) for value in read] == seconds


def test_numbers_and_moments_as_other_formats_give_them():
    assert unix_seconds(pd.Series([5, 7]), "s", PATH, 0).tolist() == [5, 7]
    moments = pd.Series(pd.to_datetime(["2024-02-29", None]))
    assert unix_seconds(moments, "s", PATH, 0).iloc[0] == 1709164800
    zoned = pd.Series(pd.to_datetime(["2024-02-29T01:00+01:00"], utc=True).tz_convert("Europe/Paris"))
    assert unix_seconds(zoned, "s", PATH, 0).tolist() == [1709164800]


@pytest.mark.parametrize(
    ("text", "time_format", "told"),
    [
        (
            "yesterday",
            "s",
            r"events.csv: row 12: time 'yesterday' is not a Unix time in seconds \(time_format = \"s\"\)",
        ),
        ("1700000000000", "s", "row 12: time '1700000000000' is not a Unix time in seconds"),
        ("inf", "ms", "row 12: time 'inf' is not a Unix time in milliseconds"),
        ("31/12/2024", "iso", "row 12: time '31/12/2024' is not an ISO 8601 time like 2024-05-31T12:00:00"),
        ("2024-13-01", "%Y-%m-%d", "row 12: time '2024-13-01' is not of the form '%Y-%m-%d'"),
    ],
)
def test_the_first_wrong_one_is_named(text, time_format, told):
    good = {"s": "1", "ms": "1", "iso": "2024-01-01", "%Y-%m-%d": "2024-01-01"}[time_format]
    with pytest.raises(DataError, match=told):
        unix_seconds(pd.Series([good, text, text], dtype="str"), time_format, PATH, 10)


def test_values():
    assert numbers(pd.Series(["1.5", None], dtype="str"), "rating", PATH, 0).iloc[0] == 1.5
    with pytest.raises(DataError, match=r"events.csv: row 4: rating 'good' is not a number"):
        numbers(pd.Series(["1", "good"], dtype="str"), "rating", PATH, 2)
