"""What secure aggregation costs, in ms per client and stage; `python -m benchmarks.secure_aggregation [--clients N] [--length N] [--devices]`.

A tenth of the cohort drops out after sharing, so that opening the sum recovers keys. The fastest of some repetitions counts: what the work takes when
nothing disturbs it. The median stands beside it. Beneath, what one call of each primitive takes, as that is most of the cost.
"""

import argparse
from collections.abc import Callable, Iterable
from statistics import median
from time import perf_counter, process_time

import numpy as np
from rich.console import Console
from rich.table import Table

from everbloom.privacy.secure_aggregation.device import SecureDevice
from everbloom.privacy.secure_aggregation.keys import EphemeralKeys, agree, identity, identity_key, verify
from everbloom.privacy.secure_aggregation.masks import MaskStream, pair_mask_key
from everbloom.privacy.secure_aggregation.record import MemoryRecord
from everbloom.privacy.secure_aggregation.server import SecureServer
from everbloom.privacy.secure_aggregation.simulation import SimulatedCohort, simulated_secrets
from everbloom.privacy.secure_aggregation.terms import Policy, Terms

Times = dict[str, float]
"""Seconds by stage, of the whole cohort."""


def simulated(terms: Terms, clients: int, clock: Callable[[], float]) -> Times:
    """One aggregation by `SimulatedCohort`, checked against the plain sum."""
    secrets, vectors = simulated_secrets(1, range(clients)), _vectors(terms, clients)
    survivors = range(clients - clients // 10)
    marks = [clock()]
    cohort = SimulatedCohort(terms, secrets)
    marks.append(clock())
    masked = cohort.mask(vectors, range(clients))
    marks.append(clock())
    opened = cohort.open(masked, range(clients), survivors=survivors)
    marks.append(clock())
    _check(opened, vectors, survivors)
    times = dict(zip(("keys", "mask", "open"), np.diff(marks).tolist(), strict=True))
    return {**times, "all": marks[-1] - marks[0]}


def by_devices(terms: Terms, clients: int, clock: Callable[[], float]) -> Times:
    """The same through every message: a device's share of each stage, and the server's of all."""
    secrets, vectors = simulated_secrets(1, range(clients)), _vectors(terms, clients)
    directory = {client: identity(secret) for client, secret in secrets.items()}
    policy = Policy(minimum=terms.minimum, degree=terms.degree)
    devices = [SecureDevice(c, secrets[c], directory, MemoryRecord(), policy) for c in range(clients)]
    survivors = range(clients - clients // 10)
    server = SecureServer(terms, directory)
    times: Times = {}
    start = clock()

    def stage(
        name: str,
        requests: dict[int, bytes],
        answer: Callable[[int, bytes], bytes],
        add: Callable[[int, bytes], None],
    ) -> None:
        before = clock()
        replies = {client: answer(client, request) for client, request in requests.items()}
        times[name] = clock() - before
        for client, reply in replies.items():
            add(client, reply)

    asked = dict.fromkeys(range(clients), server.advertise_request())
    stage("keys", asked, lambda c, r: devices[c].advertise(r), server.add_advertisement)
    stage("shares", server.share_requests(), lambda c, r: devices[c].share(r), server.add_shares)
    asked = {client: request for client, request in server.mask_requests().items() if client in survivors}
    stage("masked", asked, lambda c, r: devices[c].mask(r, vectors[c]), server.add_masked)
    stage("confirm", server.confirm_requests(), lambda c, r: devices[c].confirm(r), server.add_confirmation)
    stage("unmask", server.unmask_requests(), lambda c, r: devices[c].unmask(r), server.add_reveal)
    _check(server.open(), vectors, survivors)
    total = clock() - start
    return {**times, "server": total - sum(times.values())}


def primitives(terms: Terms) -> Times:
    """Seconds for one call."""
    one, other = (EphemeralKeys.derive(bytes([value]) * 32, bytes(32)) for value in (1, 2))
    public, stream, total = other.public[1], MaskStream(terms), np.zeros(terms.length, dtype=terms.dtype)
    signer, statement = identity_key(bytes(32)), bytes(100)
    signature, known = signer.sign(statement), identity(bytes(32))
    calls: dict[str, Callable[[], object]] = {
        "X25519 agreement": lambda: agree(one.masking, public),
        "HKDF": lambda: pair_mask_key(bytes(32), bytes(32), 1, 2),
        "AES-256-CTR, one mask": lambda: stream.expand(bytes(32)),
        "adding one mask": lambda: np.add(total, total, out=total),
        "Ed25519 verification": lambda: verify(known, signature, statement),
    }
    return {name: min(_seconds(call) for _ in range(300)) for name, call in calls.items()}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.secure_aggregation", description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--length", type=int, default=50_000)
    parser.add_argument("--bits", type=int, nargs="+", default=[32, 16])
    parser.add_argument("--degrees", type=int, nargs="+", help="default: 32, 64 and the complete graph")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--devices", action="store_true", help="also through every message, once (seconds)")
    parser.add_argument("--cpu", action="store_true", help="processor time of this process instead of wall time")
    arguments = parser.parse_args()
    clock = process_time if arguments.cpu else perf_counter
    console, clients = Console(width=140), arguments.clients
    cases = [
        Terms(run=1, period=0, round=0, length=arguments.length, bits=bits, degree=degree)
        for bits in arguments.bits
        for degree in arguments.degrees or [32, 64, clients - 1]
    ]
    what = f"{clients} clients, {arguments.length:,} coordinates"
    runs = [[simulated(terms, clients, clock) for _ in range(arguments.repetitions)] for terms in cases]
    _show(
        console,
        f"simulation, {what}: ms per client, fastest (median)",
        cases,
        runs,
        clients,
    )
    if arguments.devices:
        runs = [[by_devices(terms, clients, clock)] for terms in cases]
        _show(console, f"through messages, {what}: ms per client", cases, runs, clients)
    for name, seconds in primitives(cases[0]).items():
        console.print(f"{name}: {seconds * 1e6:.1f} us", highlight=False)


def _vectors(terms: Terms, clients: int) -> np.ndarray:
    draws = np.random.default_rng(1)
    return draws.integers(0, 2**terms.bits, (clients, terms.length), dtype=terms.dtype.type)


def _check(opened: np.ndarray, vectors: np.ndarray, survivors: Iterable[int]) -> None:
    if not np.array_equal(opened, vectors[list(survivors)].sum(axis=0, dtype=vectors.dtype)):
        raise SystemExit("the sum is wrong")


def _seconds(call: Callable[[], object]) -> float:
    before = perf_counter()
    call()
    return perf_counter() - before


def _show(console: Console, title: str, cases: list[Terms], runs: list[list[Times]], clients: int) -> None:
    table = Table(title=title)
    for column in ("bits", "neighbours", *runs[0][0]):
        table.add_column(column, justify="right")
    for terms, times in zip(cases, runs, strict=True):
        cells = []
        for stage in times[0]:
            found = [1e3 * time[stage] / clients for time in times]
            cells.append(f"{min(found):.2f}" + (f" ({median(found):.2f})" if len(found) > 1 else ""))
        table.add_row(str(terms.bits), str(min(terms.degree, clients - 1)), *cells)
    console.print(table)


if __name__ == "__main__":
    main()
