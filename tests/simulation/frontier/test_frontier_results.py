"""Means, intervals and ratios; the table and the picture that show them."""

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console
from scipy.stats import t

from everbloom.errors import InputError
from simulation.campaign.grid import Cell, Grid
from simulation.frontier.grid import Point
from simulation.frontier.picture import draw_frontier
from simulation.frontier.results import Results, collect
from simulation.frontier.table import print_frontier

ONE, TWO, NONE = Point("example", None, 1.0), Point("user", "central", 2.0), Point("none", None, None)
GRID = Grid((ONE, TWO, NONE), (3, 4))


def write_summary(out: Path, cell: Cell, ndcg: float) -> None:
    folder = out / "cells" / cell.name
    folder.mkdir(parents=True)
    quality = {"full": {"ndcg@10": ndcg, "hr@10": 2 * ndcg}}
    privacy = {"epsilon": cell.point.epsilon, "delta": 1e-3, "statement": f"claim of {cell.point.label}"}
    baseline = {"full": {"ndcg@10": 0.05, "hr@10": 0.1}}
    summary = {"test": quality, "baselines": {"popularity": baseline}, "privacy": privacy, "failed": 0}
    (folder / "summary.json").write_text(json.dumps(summary))


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """ONE with two seeds, TWO refused, NONE with one seed and a failed one."""
    for cell, ndcg in ((Cell(ONE, 3), 0.1), (Cell(ONE, 4), 0.2), (Cell(NONE, 3), 0.3)):
        write_summary(tmp_path, cell, ndcg)
    return collect(GRID, tmp_path, {TWO: "it cannot be"}, {Cell(NONE, 4): "all clients failed"})


def test_points(results):
    one, none = results.points
    assert (one.point, one.seeds, none.seeds) == (ONE, 2, 1)
    assert one.quality["ndcg@10"].mean == pytest.approx(0.15)
    assert one.quality["hr@10"].half == pytest.approx(t.ppf(0.975, 1) * 0.1)  # s = .2 / sqrt(2)
    assert one.ratio == pytest.approx({"ndcg@10": 0.5, "hr@10": 0.5})
    assert one.statement == "claim of example, epsilon 1"
    assert results.popularity["hr@10"].mean == pytest.approx(0.1)
    assert results.popularity["hr@10"].half == 0


def test_every_cell_has_a_row(results, tmp_path):
    results.write("tiny", tmp_path)
    assert (tmp_path / "frontier.csv").read_text() == (
        "unit,mechanism,epsilon,seed,status,epsilon_spent,delta,ndcg@10,hr@10,popularity_ndcg@10,popularity_hr@10,reason\n"
        "example,,1.0,3,done,1.0,0.001,0.1,0.2,0.05,0.1,\n"
        "user,central,2.0,3,refused,,,,,,,it cannot be\n"
        "none,,,3,done,,0.001,0.3,0.6,0.05,0.1,\n"
        "example,,1.0,4,done,1.0,0.001,0.2,0.4,0.05,0.1,\n"
        "user,central,2.0,4,refused,,,,,,,it cannot be\n"
        "none,,,4,failed,,,,,,,all clients failed\n"
    )
    told = json.loads((tmp_path / "frontier.json").read_text())
    assert told["points"][0]["ndcg@10"]["mean"] == 0.15
    assert told["points"][1]["ndcg@10"] == {"mean": 0.3, "low": None, "high": None}
    assert told["refused"] == [{"unit": "user", "mechanism": "central", "epsilon": 2.0, "reason": "it cannot be"}]
    assert len(told["runs"]) == 6


def test_without_a_run_without_privacy_there_is_no_ratio(tmp_path):
    write_summary(tmp_path, Cell(ONE, 3), 0.1)
    found = collect(Grid((ONE, NONE), (3,)), tmp_path, {}, {})
    assert found.points[0].ratio == {}
    assert found.points[1].quality == {}
    assert [row["status"] for row in found.rows] == ["done", "open"]


def test_the_table_fits_a_terminal_and_says_what_is_missing(results):
    stream = io.StringIO()
    print_frontier(Console(file=stream, width=80, color_system=None), results)
    lines = [line.replace("│", " ").split() for line in stream.getvalue().splitlines()]
    assert ["popularity", "-", "0.0500", "0.1000"] in lines
    assert ["example", "1", "2", "0.1500", "±", "0.6353", "0.3000", "±", "1.2706", "50%"] in lines
    assert ["no", "privacy", "-", "1", "0.3000", "0.6000", "100%"] in lines
    assert ["user,", "central", "2", "refused", "refused"] in lines
    assert "refused: user, central, epsilon 2: it cannot be" in stream.getvalue()
    assert "failed: no privacy, seed 4: all clients failed" in stream.getvalue()


def test_the_picture_has_a_curve_per_line_and_two_levels(results, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, dpi: drawn.append(self))
    draw_frontier(results, "tiny", tmp_path / "frontier.png")
    for axes in drawn[0].axes:
        assert set(axes.get_legend_handles_labels()[1]) == {"example", "no privacy", "popularity"}
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1"]


def test_without_matplotlib(results, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match=r"a picture needs matplotlib: pip install 'everbloom\[demo\]'"):
        draw_frontier(results, "tiny", tmp_path / "frontier.png")
