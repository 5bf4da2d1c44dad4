"""What is made of records, on run directories written by hand."""

import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from everbloom.experiment import Experiment, load_experiment
from server.run_directory import RunDirectory
from simulation.campaign.grid import Cell
from simulation.campaign.running import Campaign
from simulation.continual.grid import COMPARISON, Learner, cell_experiment, make_grid
from simulation.continual.reading import read_run
from simulation.continual.results import Results, collect
from simulation.continual.table import print_comparison
from simulation.continual.writing import write_results

STARTS = ["2011-01-01", "2011-02-01", "2011-03-01"]


def record(period, part, value, after=None, model="federated", split="test", round=0):
    place = {
        "period": period,
        "round": round,
        "split": split,
        "protocol": "full",
        "slice": part,
        "model": model,
        "users": 4,
    }
    values = {"ndcg@10": value, "hr@10": 2 * value, "recall@20": 3 * value}
    return {**place, **({} if after is None else {"after": after}), **values}


def write_run(run: RunDirectory, level: float, matrix: dict[tuple[int, int], float], rounds: int) -> None:
    """Everybody's quality on the next period is `level` times the period; the panel's is `matrix`, by (after, period)."""
    for period in (1, 2):
        run.append("metrics", record(period, "all", level * period, after=period - 1))
        run.append("metrics", record(period, "new-items", level / 2, after=period - 1))
        run.append("metrics", record(period, "all", 0.01, model="popularity"))
        run.append("metrics", {**record(period, "all", 0.9, after=period - 1), "protocol": "sampled-99"})
        for place, value in enumerate((0.1, 0.5, 0.3)[: rounds + 1]):
            run.append("metrics", record(period, "all", value, split="validation", round=place))
    for (after, period), value in matrix.items():
        run.append("metrics", record(period, "panel", value, after=after))
    for period in range(3):
        for number in range(3 if period == 0 else rounds):
            cost = {"clients": 5, "failed": 0, "seconds": 0.5, "bytes_up": 100, "bytes_down": 200}
            run.append("rounds", {"period": period, "round": number + 1, **cost, "epsilon": 1.0 + period})
    run.write("summary.json", "{}")


@pytest.fixture
def base(tiny_file) -> Experiment:
    return load_experiment(tiny_file)


@pytest.fixture
def campaign(base, tmp_path) -> Campaign[Learner]:
    """Frozen and fine-tuned with seeds 5 and 6, retrained with seed 5; with seed 6 it failed."""
    campaign = Campaign(COMPARISON, base, make_grid(base, ["frozen,finetune,retrain"], 2), tmp_path / "out")
    forgets = {(0, 1): 0.1, (1, 1): 0.5, (1, 2): 0.2, (2, 1): 0.3, (2, 2): 0.6}
    stays = dict.fromkeys(forgets, 0.1)
    for method, seed, level, matrix, rounds in (
        ("frozen", 5, 0.1, stays, 0),
        ("frozen", 6, 0.1, stays, 0),
        ("finetune", 5, 0.2, forgets, 2),
        ("finetune", 6, 0.4, forgets, 2),
        ("retrain", 5, 0.3, forgets, 4),
    ):
        cell = Cell(Learner(method), seed)
        write_run(RunDirectory.create(campaign.run_folder(cell), cell_experiment(base, cell)), level, matrix, rounds)
    return campaign


@pytest.fixture
def results(campaign) -> Results:
    return collect(campaign, STARTS, {}, {Cell(Learner("retrain"), 6): "all clients failed"})


def test_one_run(campaign):
    run = read_run(RunDirectory(campaign.run_folder(Cell(Learner("finetune"), 5))), 3)
    assert run.memory_slice == "panel"
    assert run.matrix("hr@10")[2].tolist()[1:] == [0.6, 1.2]
    assert run.next_period("ndcg@10").tolist()[1:] == [0.2, 0.4]
    assert run.next_period("ndcg@10", "new-items").tolist()[1:] == [0.1, 0.1]
    assert run.baseline("ndcg@10").tolist()[1:] == [0.01, 0.01]
    assert run.speed() == ([1.0, 1.0], [pytest.approx(0.625)] * 2)  # 0, 1, 0.5 over two rounds
    assert [work.clients for work in run.work] == [15, 10, 10]
    assert [work.epsilon for work in run.work] == [1.0, 2.0, 3.0]


def test_a_period_without_rounds_spends_nothing(campaign):
    run = read_run(RunDirectory(campaign.run_folder(Cell(Learner("frozen"), 5))), 3)
    assert [(work.rounds, work.bytes_up, work.epsilon) for work in run.work] == [
        (3, 300, 1.0),
        (0, 0, 1.0),
        (0, 0, 1.0),
    ]
    assert all(value != value for values in run.speed() for value in values)


def test_methods(results):
    frozen, finetune, retrain = results.learners
    assert finetune.values["ndcg@10"] == pytest.approx({5: 0.3, 6: 0.6})
    assert finetune.values["ndcg@10 new-items"] == pytest.approx({5: 0.1, 6: 0.2})
    assert finetune.values["forgetting"] == pytest.approx({5: 0.2, 6: 0.2})
    assert finetune.values["backward_transfer"] == pytest.approx({5: -0.2, 6: -0.2})
    assert finetune.values["forward_transfer"] == pytest.approx({5: 0.1, 6: 0.1})
    assert finetune.values["clients"] == {5: 20.0, 6: 20.0}
    assert finetune.values["bytes"] == {5: 1200.0, 6: 1200.0}
    assert finetune.differences == {}
    assert "ndcg@10 new-users" not in finetune.values  # nobody was new
    assert "curve_area" not in frozen.values
    assert frozen.differences["ndcg@10"].mean == pytest.approx((0.15 - 0.3 + 0.15 - 0.6) / 2)
    assert frozen.differences["ndcg@10"].half > 0
    assert retrain.differences["ndcg@10"].mean == pytest.approx(0.15)  # by the one seed that both have
    assert retrain.differences["ndcg@10"].half is None
    assert results.of_retrain(finetune, "clients") == 0.5
    assert results.of_retrain(frozen, "seconds") == 0
    assert results.popularity("ndcg@10")[1:].tolist() == [0.01, 0.01]


def test_the_files(results, tmp_path):
    write_results(results, "tiny", tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "continual.csv").read_text())))
    place = {"method": "finetune", "seed": "5", "period": "1", "month": "2011-02", "after": "2", "slice": "panel"}
    wanted = {**place, "metric": "ndcg@10", "value": "0.3"}
    assert wanted in rows
    assert {row["method"] for row in rows} == {"frozen", "finetune", "retrain", "popularity"}
    assert len([row for row in rows if row["method"] == "popularity"]) == 2 * 2 * 3  # seeds, periods, measures
    told = json.loads((tmp_path / "continual.json").read_text())
    assert told["methods"][1]["matrix"]["ndcg@10"] == [[None, 0.1, None], [None, 0.5, 0.2], [None, 0.3, 0.6]]
    assert told["methods"][1]["by_period"]["new-items"]["ndcg@10"][2]["mean"] == 0.15
    assert told["methods"][0]["difference"]["forgetting"]["mean"] == -0.2
    assert told["open"] == [{"method": "retrain", "seed": 6, "reason": "all clients failed"}]
    assert told["runs"][2]["work"][1]["clients"] == 10
    assert told["periods"][2] == {"period": 2, "start": "2011-03-01"}


def test_the_tables_fit_a_terminal_and_say_what_is_missing(results):
    stream = io.StringIO()
    print_comparison(Console(file=stream, width=80, color_system=None), results)
    lines = [line.replace("│", " ").split() for line in stream.getvalue().splitlines()]
    assert ["popularity", "0.0100", "0.0200", "0.0300"] in lines
    assert ["retrain", "0.4500", "0.9000", "1.3500", "+0.1500"] in lines
    assert ["finetune", "0.2000", "-0.2000", "+0.1000", "0.5500", "0.4500"] in lines
    assert ["finetune", "4", "(50%)", "20", "(50%)", "2", "s", "(50%)", "0.0012", "3"] in lines
    assert "…" not in stream.getvalue()
    assert "failed: retrain, seed 6: all clients failed" in stream.getvalue()
    assert "* differs from finetune" in stream.getvalue()


def test_without_a_panel_the_matrix_is_everybody_s(base, tmp_path):
    run = RunDirectory.create(tmp_path / "run", base)
    run.append("metrics", record(1, "all", 0.2, after=0))
    run.append("metrics", record(1, "all", 0.4, after=1))
    found = read_run(run, 2)
    assert found.memory_slice == "all"
    assert found.matrix("ndcg@10")[:, 1].tolist() == [0.2, 0.4]
    assert found.next_period("ndcg@10")[1] == 0.2


def test_the_pictures_show_every_method(results, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    from simulation.continual.pictures import draw_comparison

    drawn: dict[str, Figure] = {}
    monkeypatch.setattr(Figure, "savefig", lambda self, path, dpi: drawn.update({Path(path).name: self}))
    paths = draw_comparison(results, "tiny", tmp_path)
    assert {path.name for path in paths} == set(drawn) == {"quality.png", "forgetting.png", "work.png", "privacy.png"}
    methods = {"frozen", "finetune", "retrain"}
    for name, more in (("quality.png", {"popularity"}), ("work.png", set())):
        assert set(drawn[name].axes[0].get_legend_handles_labels()[1]) == methods | more
    assert set(drawn["privacy.png"].axes[0].get_legend_handles_labels()[1]) == {"frozen", "finetune\nretrain"}
    assert {axes.get_title() for axes in drawn["forgetting.png"].axes if axes.get_title()} == methods
