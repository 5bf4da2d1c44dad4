"""What a device has spent and has left, as JSON on standard output: `python -m client.service.privacy_report FOLDER`.

A process of its own: privacy filters need scipy, which a service at rest does not hold.
"""

import json
import sys
from pathlib import Path
from typing import Any

from client.ledger import SqliteLedger
from client.service.folder import DeviceFolder
from everbloom.errors import InputError


def privacy_report(folder: DeviceFolder) -> dict[str, Any]:
    """Budget, what of it is spent and left (`spent` as epsilon at its delta, `left` as a share of the filter's limit), and how often it was charged.

    Raises `PrivacyError` if the ledger is missing, damaged or another.
    """
    account = SqliteLedger(folder.ledger, folder.settings["ledger"]).account()
    budget, costs = account.budget, account.costs()
    return {
        "ledger": account.ledger,
        "rounds": len(account.reservations),
        "finished": len(account.committed),
        "budget": None
        if budget is None
        else {"epsilon": budget.epsilon, "delta": budget.delta, "unit": budget.unit, "relation": budget.relation},
        "spent": 0.0 if budget is None else budget.spent_epsilon(costs),
        "left": 1.0 if budget is None else budget.remaining(costs),
        "last_round_cost": None if budget is None or not costs else budget.charge(costs[-1]) / budget.limit,
    }


def main() -> None:
    """Entry point of the process."""
    try:
        report = privacy_report(DeviceFolder(Path(sys.argv[1])))
    except InputError as error:
        report = {"error": str(error)}
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
