"""`summary.json`: what a run was, what it cost, what it reached."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from everbloom.memory import peak_bytes
from everbloom.privacy.ledger import Ledger
from everbloom.privacy.noise import SeededNoise
from everbloom.privacy.plan import NO_PRIVACY
from everbloom.study import Study
from server.measuring import MODEL
from server.run_directory import RunDirectory
from server.state import FederationState

_LABELS = ("period", "round", "split", "protocol", "slice", "model", "users", "after")


def write_summary(
    run: RunDirectory,
    study: Study,
    state: FederationState,
    peak_memory_mb: float | None = None,
    noise: str = SeededNoise.kind,
) -> dict[str, Any]:
    """Writes and returns the summary. `noise`: which generator drew it; `peak_memory_mb`: of all processes of a simulation; default: of this one."""
    totals = state.totals
    baselines = sorted({str(record["model"]) for record in state.test} - {MODEL})
    summary = {
        "name": study.experiment.name,
        "data": study.dataset.fingerprint,
        "users": study.clients,
        "items": len(study.dataset.catalog),
        "events": len(study.dataset.events),
        "parameters": study.layout.size(),
        "rounds": totals.rounds,
        "clients": totals.clients,
        "failed": totals.failed,
        **({"unneeded": totals.unneeded} if study.experiment.federation.over_selection else {}),
        "seconds": round(totals.seconds, 2),
        **({} if state.clock is None else {"simulated_seconds": round(state.clock, 3)}),
        "bytes_up": totals.bytes_up,
        "bytes_down": totals.bytes_down,
        "peak_memory_mb": round(peak_bytes() / 1e6 if peak_memory_mb is None else peak_memory_mb, 1),
        "privacy": privacy_summary(study, state, noise),
        "test": mean_by_protocol(state.test, MODEL),
        "baselines": {model: mean_by_protocol(state.test, model) for model in baselines},
    }
    run.write("summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def privacy_summary(study: Study, state: FederationState, noise: str) -> dict[str, Any]:
    """The claim, and what was spent of it by the device that was asked most often."""
    plan = study.plan
    if plan is None:
        return {"unit": "none", "epsilon": None, "delta": None, "mechanism": "none", "statement": NO_PRIVACY}
    ledger = Ledger(plan, state.participations)
    ledger.rounds = state.totals.charges
    return {
        "unit": plan.unit,
        "relation": plan.relation,
        **({} if plan.noise_cohort is None else {"valid_only_at_cohort": plan.noise_cohort}),
        "epsilon": round(ledger.epsilon(), 6),
        "budget": round(plan.epsilon, 6),
        "delta": plan.delta,
        "mechanism": plan.mechanism,
        "noise_multiplier": round(plan.noise_multiplier, 6),
        "generator": noise,
        "devices_left": ledger.left(),
        "statement": plan.describe(),
    }


def mean_by_protocol(records: Iterable[Mapping[str, Any]], model: str) -> dict[str, dict[str, float]]:
    """protocol -> measure -> mean over the tested periods, each period weighing the same."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        if record["model"] == model and record["slice"] == "all":
            found.setdefault(record["protocol"], []).append(record)
    return {
        protocol: {
            key: round(sum(record[key] for record in rows) / len(rows), 6) for key in rows[0] if key not in _LABELS
        }
        for protocol, rows in found.items()
    }
