"""Metric records are flat, in a fixed order, and rounded."""

import json

from everbloom.evaluation.records import metric_record


def test_one_line_byte_for_byte() -> None:
    record = metric_record(
        period=1,
        round=20,
        split="validation",
        protocol="sampled-99",
        slice="all",
        model="federated",
        users=943,
        values={"hr@10": 2 / 3, "ndcg@10": -1e-9},
    )
    assert json.dumps(record) == (
        '{"period": 1, "round": 20, "split": "validation", "protocol": "sampled-99", "slice": "all", '
        '"model": "federated", "users": 943, "hr@10": 0.666667, "ndcg@10": 0.0}'
    )
