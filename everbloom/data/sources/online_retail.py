"""Online Retail (UCI): a British gift shop's invoices, 2010-12 to 2011-12; 4,334 customers and 3,659 products.

The often stated 4,338 customers and 3,665 products count postage and charges as products: `keep_charges = true`.

Chen (2015), doi 10.24432/C5BW33, CC BY 4.0. Rows that are no purchase by a known customer of a product are left out and
counted.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pandas as pd

from everbloom.data.downloads import not_there
from everbloom.data.reading import delimited, encoding_of, find, require_columns, telling
from everbloom.data.times import numbers, unix_seconds
from everbloom.errors import DataError
from everbloom.methods import Source

_COLUMNS = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"]
_NO_PRODUCT = ["POST", "DOT", "M", "C2", "BANK CHARGES", "PADS", "D", "S", "B", "CRUK", "AMAZONFEE"]
"""Stock codes of postage, manual corrections, charges, samples and discounts."""
_AMERICAN_DATE = "%m/%d/%Y %H:%M"


class OnlineRetail(Source):
    """Purchases whose value is the quantity. Items have title (also as description) and price."""

    name: Literal["online-retail"] = "online-retail"
    keep_charges: bool = False
    """Keep the stock codes that are no products: postage, bank charges, manual corrections."""

    def locate(self, home: Path) -> list[Path]:
        """[invoices]."""
        path = find(home, "*.csv", "*.xlsx")
        if path is None:
            raise not_there(self.name, home, "a csv (or xlsx) file")
        return [path]

    def events(self, files: list[Path]) -> Iterator[pd.DataFrame]:
        """Invoice lines in file order."""
        for chunk in _sales(files[0], self.keep_charges):
            events = chunk[["user", "item", "time", "value"]].assign(behaviour="purchase")
            events.attrs = chunk.attrs
            yield events

    def items(self, files: list[Path]) -> pd.DataFrame:
        """Products in order of their first sale: most frequent description (first of equals), median price."""
        sales = pd.concat(
            [chunk[["item", "description", "price"]] for chunk in _sales(files[0], self.keep_charges)],
            ignore_index=True,
        )
        price = sales.groupby("item", sort=False)["price"].median()
        told = sales[sales["description"].notna()].groupby(["item", "description"], sort=False).size()
        ranked = told.sort_values(ascending=False, kind="stable").reset_index().drop_duplicates("item")
        title = ranked.set_index("item")["description"].reindex(price.index).fillna("")
        table = {"item": price.index, "title": title.array, "description": title.array, "price": price.array}
        return pd.DataFrame(table)


def _sales(path: Path, keep_charges: bool) -> Iterator[pd.DataFrame]:
    """Chunks of valid rows; `attrs["dropped"]` counts the others."""
    rows = 0
    for chunk in _rows(path):
        quantity = numbers(chunk["Quantity"], "Quantity", path, rows)
        price = numbers(chunk["UnitPrice"], "UnitPrice", path, rows)
        customer = numbers(chunk["CustomerID"], "CustomerID", path, rows).astype("Int64")
        rules = {
            "cancellation": chunk["InvoiceNo"].str.upper().str.startswith("C").fillna(False),
            "no customer": customer.isna(),
            "quantity is not positive": ~(quantity > 0),
            "price is not positive": ~(price > 0),
            "no product (postage, charges, corrections)": chunk["StockCode"]
            .str.upper()
            .isin([] if keep_charges else _NO_PRODUCT),
        }
        keep = pd.Series(True, index=chunk.index)
        dropped: Counter[str] = Counter()
        for reason, broken in rules.items():
            dropped[reason] = int((keep & broken.astype(bool)).sum())
            keep &= ~broken.astype(bool)
        sales = pd.DataFrame(
            {
                "user": customer,
                "item": chunk["StockCode"],
                "time": _times(chunk["InvoiceDate"], path, rows),
                "value": quantity,
                "price": price,
                "description": chunk["Description"].str.strip(),
            }
        )[keep]
        sales.attrs["dropped"] = dict(dropped)
        yield sales
        rows += len(chunk)


def _times(dates: "pd.Series[str]", path: Path, rows: int) -> "pd.Series[int]":
    """The UCI file says `12/1/2010 8:26`, other copies an ISO time."""
    american = str(dates.iloc[0]).count("/") == 2 if len(dates) else False
    return unix_seconds(dates, _AMERICAN_DATE if american else "iso", path, rows)


def _rows(path: Path) -> Iterator[pd.DataFrame]:
    if path.suffix == ".xlsx":
        yield _workbook(path)
        return
    yield from delimited(path, ",", columns=_COLUMNS, encoding=encoding_of(path))


def _workbook(path: Path) -> pd.DataFrame:
    try:
        with telling(path):
            table = pd.read_excel(path, engine="openpyxl", dtype={"InvoiceNo": str, "StockCode": str})
    except ImportError:
        raise DataError(f"{path}: reading xlsx needs openpyxl; run: pip install 'everbloom[excel]'") from None
    require_columns(path, _COLUMNS, [str(column) for column in table.columns])
    return table[_COLUMNS].astype({"InvoiceNo": "str", "StockCode": "str", "Description": "str"})
