"""everbloom: federated, differentially private, continually learning recommenders.

This package is the science that both sides share. It knows no server, no client and no simulator. For Python it also is the name of the whole:

    run = everbloom.run("configs/smoke.toml", {"privacy.epsilon": 4})
    run.summary, run.rounds, run.metrics, run.users, run.plot(), run.compare(), run.report()
    everbloom.open_run("runs/smoke")

These names stand for what is above this package or heavy to import; each is imported when it is first used, by its dotted path, as methods are.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from everbloom.report.run import Run as Run
    from everbloom.report.run import open_run as open_run
    from simulation.api import run as run

_NAMES = {
    "run": "simulation.api:run",
    "open_run": "everbloom.report.run:open_run",
    "Run": "everbloom.report.run:Run",
}

__all__ = ["Run", "open_run", "run"]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _NAMES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_NAMES])
