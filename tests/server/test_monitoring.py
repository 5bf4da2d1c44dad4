"""What a deployed server tells: lines of JSON, and metrics that Prometheus reads."""

import json
import logging
import re

from server.monitoring import Monitor

ROUND = {
    "period": 0,
    "round": 3,
    "clients": 5,
    "failed": 1,
    "seconds": 2.5,
    "bytes_up": 500,
    "bytes_down": 600,
    "epsilon": 1.25,
    "devices_left": 6,
}
MEASURED = {
    "period": 0,
    "round": 3,
    "split": "validation",
    "protocol": "full",
    "slice": "all",
    "model": "recommender",
    "users": 6,
    "ndcg@10": 0.5,
}
LINE = re.compile(r'^(# (HELP|TYPE) everbloom_\w+ .+|everbloom_\w+\{\w+="[^"]*"(,\w+="[^"]*")*\} [-+.e\d]+)$')


def test_metrics_are_in_prometheus_format_and_replaced_whole(tmp_path):
    path = tmp_path / "metrics" / "everbloom.prom"
    monitor = Monitor('odd "name"', path, devices=7)
    monitor.round_done(ROUND, ["no battery"])
    monitor.round_done({**ROUND, "round": 4, "epsilon": None}, [])
    monitor.measured([MEASURED, {**MEASURED, "slice": "new-users"}])
    text = path.read_text()
    lines = text.replace(r"\"", "'").splitlines()
    assert all(LINE.match(line) for line in lines), [line for line in lines if not LINE.match(line)]
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    named = "{experiment=\"odd 'name'\"}"
    assert values[f"everbloom_updates_total{named}"] == "10"
    assert values[f"everbloom_failures_total{named}"] == "2"
    assert values[f"everbloom_devices{named}"] == "7"
    assert values[f"everbloom_round{named}"] == "4"
    assert f"everbloom_epsilon{named}" not in values
    assert [value for name, value in values.items() if name.startswith("everbloom_quality")] == ["0.5"]
    assert list(path.parent.iterdir()) == [path]


def test_the_log_is_json_and_counts_equal_failures_once(caplog, tmp_path):
    caplog.set_level(logging.INFO, "flwr")
    logging.getLogger("flwr").propagate = True
    Monitor("small", log=tmp_path / "log.jsonl").round_done(ROUND, ["no battery", "refused: paused", "no battery"])
    told = [json.loads(record.message) for record in caplog.records]
    kept = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [{key: value for key, value in one.items() if key != "time"} for one in kept] == told
    assert [one["event"] for one in told] == ["round", "failure", "failure"]
    assert told[0]["clients"] == 5
    assert {one["reason"]: one["devices"] for one in told[1:]} == {"no battery": 2, "refused: paused": 1}
