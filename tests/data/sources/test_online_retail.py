"""Online Retail: what counts as a purchase, and what a product is called."""

import pandas as pd
import pytest

from everbloom.data.sources.online_retail import OnlineRetail
from everbloom.errors import DataError

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
ROWS = """1,A1,RED HAT ,6,2010-12-01 08:26:00,2.50,17850.0,UK
1,A1,RED  HAT,1,2010-12-01 08:26:00,3.50,17850.0,UK
2,A1,RED HAT,1,2010-12-02 08:26:00,9.00,13047.0,UK
2,POST,POSTAGE,1,2010-12-02 08:26:00,9.00,13047.0,UK
C3,A1,RED HAT,-1,2010-12-02 08:26:00,2.50,17850.0,UK
4,A1,lost,-5,2010-12-02 08:26:00,0.0,17850.0,UK
5,B2,,3,2010-12-02 08:26:00,0.0,17850.0,UK
6,B2,,3,2010-12-02 08:26:00,1.25,,UK
7,B2,,3,2010-12-03 08:26:00,1.25,13047.0,UK
"""


def read(folder, source=None):
    source = source or OnlineRetail()
    files = source.locate(folder)
    return list(source.events(files)), source.items(files)


def test_only_purchases_of_products_by_known_customers_stay(tmp_path):
    (tmp_path / "retail.csv").write_text(HEADER + ROWS)
    (events,), items = read(tmp_path)
    assert events["user"].tolist() == [17850, 17850, 13047, 13047]
    assert events["item"].tolist() == ["A1", "A1", "A1", "B2"]
    assert events["value"].tolist() == [6, 1, 1, 3]
    assert events["time"].iloc[0] == pd.Timestamp("2010-12-01 08:26").timestamp()
    assert events.attrs["dropped"] == {
        "cancellation": 1,
        "no customer": 1,
        "quantity is not positive": 1,
        "price is not positive": 1,
        "no product (postage, charges, corrections)": 1,
    }
    assert items.to_dict("list") == {
        "item": ["A1", "B2"],
        "title": ["RED HAT", ""],
        "description": ["RED HAT", ""],
        "price": [3.5, 1.25],
    }


def test_charges_can_be_kept(tmp_path):
    (tmp_path / "retail.csv").write_text(HEADER + ROWS)
    (events,), items = read(tmp_path, OnlineRetail(keep_charges=True))
    assert "POST" in events["item"].tolist()
    assert "POST" in items["item"].tolist()


def test_dates_as_the_publisher_writes_them_and_old_encodings(tmp_path):
    rows = "1,A1,CAF\xc9 SET,6,12/31/2010 8:26,2.50,17850,UK\n"
    (tmp_path / "data.csv").write_bytes((HEADER + rows).encode("latin-1"))
    (events,), items = read(tmp_path)
    assert events["time"].tolist() == [int(pd.Timestamp("2010-12-31 08:26").timestamp())]
    assert items["title"].tolist() == ["CAFÉ SET"]


def test_the_workbook(tmp_path):
    pytest.importorskip("openpyxl")
    pd.DataFrame(
        {
            "InvoiceNo": [536365, "C5"],
            "StockCode": [71053, "A1"],
            "Description": ["LANTERN", None],
            "Quantity": [6, -1],
            "InvoiceDate": pd.to_datetime(["2010-12-01 08:26", "2010-12-01 08:27"]),
            "UnitPrice": [2.5, 1.0],
            "CustomerID": [17850.0, None],
            "Country": "UK",
        }
    ).to_excel(tmp_path / "Online Retail.xlsx", index=False)
    (events,), items = read(tmp_path)
    assert events[["user", "item", "value"]].to_numpy().tolist() == [[17850, "71053", 6.0]]
    assert events["time"].tolist() == [1291191960]
    assert items["title"].tolist() == ["LANTERN"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            HEADER + "1,A1,HAT,6,2010-12-01,2.5,1,UK\n1,A1,HAT,six,2010-12-01,2.5,1,UK\n",
            "row 2: Quantity 'six' is not a number",
        ),
        (HEADER + "1,A1,HAT,6,later,2.5,1,UK\n", "row 1: time 'later' is not an ISO 8601 time"),
        ("a,b\n1,2\n", "no column 'InvoiceNo'; the columns are: a, b"),
    ],
)
def test_mistakes(tmp_path, content, told):
    (tmp_path / "retail.csv").write_text(content)
    with pytest.raises(DataError, match=told):
        read(tmp_path)


def test_not_fetched(tmp_path):
    with pytest.raises(DataError, match=r"downloads https://archive.ics.uci.edu/static/public/352/data.csv"):
        OnlineRetail().locate(tmp_path)
