"""A run for Python: tables, picture, comparison, page."""

import shutil
import xml.etree.ElementTree as ElementTree

import pytest

import everbloom
from everbloom.errors import InputError


def test_records_are_tables(runs):
    run = everbloom.open_run(runs / "private")
    assert isinstance(run, everbloom.Run)
    assert run.rounds[["period", "round"]].to_numpy().tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]
    assert run.rounds["epsilon"].is_monotonic_increasing
    tested = run.metrics.query("split == 'test' and slice == 'all' and model == 'federated'")
    assert tested["ndcg@10"].iloc[0] == run.summary["test"]["full"]["ndcg@10"]
    users = run.users.query("model == 'federated'")
    assert users["ndcg@10"].mean() == pytest.approx(run.summary["test"]["full"]["ndcg@10"], abs=1e-6)
    assert len(run.users) == 2 * len(users)
    assert "user, central, epsilon 8, 4 rounds" in repr(run)
    assert run.summary["privacy"]["statement"] in run._repr_html_()


def test_a_picture_is_an_svg_that_stands_alone(runs, tmp_path):
    run, other = (everbloom.open_run(runs / name) for name in ("private", "exact"))
    picture = run.plot("hr@10", other)
    root = ElementTree.fromstring(picture._repr_svg_())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"HR@10 on validation, by round", "user, central, epsilon 8", "no privacy", "popularity"} <= set(words)
    selectors = [
        line for line in picture.svg.split("<style>")[1].split("</style>")[0].splitlines() if line.startswith(".")
    ]
    assert all(line.startswith(".everbloom-picture ") for line in selectors)
    picture.save(tmp_path / "quality.svg")
    assert (tmp_path / "quality.svg").read_text() == picture.svg
    for path, told in ((tmp_path / "quality.png", "name it"), (tmp_path / "no" / "quality.svg", "cannot be written")):
        with pytest.raises(InputError, match=told):
            picture.save(path)
    with pytest.raises(InputError, match=r"ndcg@3 was not measured on validation; measured: ndcg@10"):
        run.plot("ndcg@3")


def test_runs_are_compared_as_the_command_does(runs):
    found = everbloom.open_run(runs / "private").compare(everbloom.open_run(runs / "exact"))
    assert found["model"].tolist() == ["no privacy", "no privacy"]
    assert {"difference", "low", "high", "permutation", "corrected"} <= set(found.columns)


def test_the_page_is_written_beside_the_records(runs, tmp_path):
    shutil.copytree(runs / "private", tmp_path / "run")
    page = everbloom.open_run(tmp_path / "run").report()
    assert page == tmp_path / "run" / "report.html"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_run_that_is_not_finished_has_no_summary(runs, tmp_path):
    shutil.copytree(runs / "private", tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    run = everbloom.open_run(tmp_path / "run")
    assert "not finished" in repr(run)
    with pytest.raises(InputError, match="is not finished"):
        _ = run.summary
    with pytest.raises(InputError, match="no run's directory"):
        everbloom.open_run(tmp_path)
