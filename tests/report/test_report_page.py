"""The page holds every section there is something for, and nothing that would ask the network."""

import base64
import hashlib
import json
import re
import shutil

import pytest

from everbloom.report.examples import Example, examples_section
from everbloom.report.records import read_run
from everbloom.report.report import report


def sections(page: str) -> list[str]:
    return re.findall(r'<section id="([\w-]+)"', page)


def test_one_private_run(runs):
    run = read_run(runs / "private")
    page = report([run])
    assert sections(page) == ["overview", "quality", "epsilon", "slices", "people", "cost", "audit", "origin"]
    assert run.summary["privacy"]["statement"] in page
    assert page.index(run.summary["privacy"]["statement"]) < page.index('<section id="quality"')
    assert f"{run.reached('ndcg@10'):.4f}" in page
    assert "everbloom audit" in page
    assert 'name = "small"' in page


def test_runs_that_differ_in_epsilon_draw_the_frontier(runs):
    page = report([read_run(runs / name) for name in ("private", "private-4", "exact", "exact-2")])
    assert "frontier" in sections(page)
    assert "4 runs of 3 settings" in page
    for label in ("user, central, epsilon 8", "user, central, epsilon 4", "no privacy"):
        assert label in page


def test_a_run_that_learns_on_shows_what_it_remembers(runs):
    page = report([read_run(runs / "continual")])
    assert "forgetting" in sections(page)
    assert "epsilon" not in sections(page)
    assert len(re.findall(r'<table class="heat"', page)) == 2
    assert "after 3" in page


def test_what_is_missing_is_said(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs / "private", run)
    shutil.rmtree(run / "per-user")
    (run / "summary.json").unlink()
    page = report([read_run(run)])
    assert "has no records of users" in page
    assert "The run is not finished" in page


def test_a_run_without_a_round_is_a_page_too(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs / "private", run)
    for name in ("summary.json", "rounds.jsonl", "metrics.jsonl"):
        (run / name).write_text("") if name.endswith("l") else (run / name).unlink()
    assert sections(report([read_run(run)])) == ["overview", "audit", "origin"]


def test_an_audit_stands_beside_the_claim(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs / "private", run)
    bound = {"mechanism": "central", "about": "all rounds", "method": "Gaussian DP", "runs": 400}
    bound |= {"epsilon_claimed": 8.0, "epsilon_lower": 3.25, "exceeded": False}
    area = {"private": True, "messages": 1, "attack": "rise", "auc": 0.61, "auc_low": 0.6, "auc_high": 0.62}
    found = {"exceeded": False, "bounds": [bound], "item_inference": [area], "membership_inference": []}
    (run / "audit.json").write_text(json.dumps(found))
    page = report([read_run(run)])
    assert "No claim is refuted" in page
    assert "3.25" in page
    assert "0.610" in page
    (run / "audit.json").write_text(json.dumps({**found, "exceeded": True}))
    assert "A claim is refuted" in report([read_run(run)])


def test_titles_stay_text_and_examples_show_hits(runs):
    hostile = '</script><script>alert("x")</script>'
    example = Example(3, 2, [hostile], [(hostile, True), ("Alien", False)], [hostile])
    page = report([read_run(runs / "exact")], examples_section([example]), title=hostile)
    assert hostile not in page
    assert page.count("<script>") == 1
    assert "✓ taken" in page
    assert "No examples: gone" in report([read_run(runs / "exact")], examples_section("No examples: gone"))


@pytest.mark.parametrize("name", ["private", "continual"])
def test_the_page_is_small_and_allows_nothing_but_its_own_script_and_style(runs, name):
    page = report([read_run(runs / name)])
    assert len(page.encode()) < 3_000_000
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[1]
    assert policy.startswith("default-src 'none'")
    for part in ("style", "script"):
        text = re.search(rf"<{part}>(.*?)</{part}>", page, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{part}-src 'sha256-{digest}'" in policy
    assert set(re.findall(r'(?:src|href)="([^#"]*)', page)) <= {"data:,", ""}
    assert not re.search(r"\sstyle=|\son\w+=|@import|url\(", page)


def test_the_same_records_make_the_same_page(runs):
    assert report([read_run(runs / "private")]) == report([read_run(runs / "private")])


@pytest.mark.parametrize("central", [True, False])
def test_what_devices_told_is_drawn(runs, tmp_path, central):
    """Also where nothing else was measured, since the server has no events."""
    folder = tmp_path / "told"
    shutil.copytree(runs / "exact", folder)
    kept = (folder / "metrics.jsonl").read_text().splitlines() if central else []
    told = {"split": "validation", "protocol": "on-devices", "slice": "all", "model": "federated", "users": 9}
    rows = [{"period": 0, "round": round, **told, "hr@10": 0.3, "ndcg@10": 0.1 * round} for round in (1, 2)]
    (folder / "metrics.jsonl").write_text("\n".join([*kept, *map(json.dumps, rows)]) + "\n")
    page = report([read_run(folder)])
    assert "federated, told by devices" in page
    assert "quality" in sections(page)
