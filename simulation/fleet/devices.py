"""The devices of a local fleet: one user each, in the folder of a resident service, with a policy that allows this server and its experiment."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from client.identity import DeviceIdentity
from client.service.folder import DeviceFolder
from client.service.making import make_device
from client.service.private_store import Event, PrivateStore
from everbloom.data.events import NO_ITEM
from everbloom.errors import ConfigError
from everbloom.study import Study

POLICY = """\
# Written for a fleet on one machine: it allows what the experiment asks for, and no more.
epsilon = {epsilon!r}
delta = {delta!r}
units = [{unit}]
mechanisms = [{mechanism}]
min_cohort = {min_cohort}
evaluation = {evaluation}

[[servers]]
name = "fleet"
schema = "{schema}"
key = "{key}"
"""


def make_devices(study: Study, folder: Path, task_key: str, seeded: bool, spare: float = 2.0) -> list[DeviceFolder]:
    """One device for each user of the study, numbered as they are. The catalogue comes with the first run, from the server.

    `seeded`: their noise follows from the experiment's seed, so that a run can be compared with its simulation; it protects nobody. `spare`: their
    budgets, over what the experiment spends.
    """
    policy = policy_of(study, task_key, spare)
    made = []
    for user in range(study.clients):
        device = make_device(folder / str(user), None, user, policy, seed=study.experiment.seed if seeded else None)
        store = PrivateStore(device.store)
        store.add(events_of(study, user), now=_latest(study))
        store.close()
        made.append(device)
    introduce(made)
    return made


def introduce(devices: Sequence[DeviceFolder]) -> None:
    """Lets devices know each other's identities, as an operator does before a deployment: secure aggregation rests on it."""
    directory: Mapping[int, bytes] = {
        int(device.settings["client"]): DeviceIdentity(device.path).public for device in devices
    }
    for device in devices:
        DeviceIdentity(device.path).pin(directory)


def policy_of(study: Study, task_key: str, spare: float) -> str:
    """What an owner allows who agrees to the experiment, with room for rounds that are done again after a crash.

    Raises `ConfigError` if the experiment has no privacy: the devices of a deployment have a budget.
    """
    plan, privacy = study.plan, study.experiment.privacy
    if plan is None or privacy.mechanism is None:
        raise ConfigError("privacy.unit: real devices answer to a plan with a budget; set [privacy]")
    return POLICY.format(
        epsilon=spare * plan.epsilon,
        delta=plan.delta,
        unit=json.dumps(plan.unit),
        mechanism=json.dumps(privacy.mechanism.name),
        min_cohort=min(study.terms.course.cohort, getattr(plan, "min_cohort", study.terms.course.cohort)),
        evaluation=json.dumps(study.experiment.evaluation.devices is not None),
        schema=study.layout.schema,
        key=task_key,
    )


def events_of(study: Study, user: int) -> list[Event]:
    """A user's events in their order. Without times the order is the time: seconds from 1970."""
    log = study.dataset.events
    rows = log.rows(user)
    return [
        Event(
            item=None if log.item[row] == NO_ITEM else int(log.item[row]),
            time=int(log.time[row]) if log.has_time else place,
            behaviour=int(log.behaviour[row]),
            value=float(log.value[row]),
            text=None if log.text is None else log.text[row] or None,
        )
        for place, row in enumerate(range(rows.start, rows.stop))
    ]


def _latest(study: Study) -> int:
    log = study.dataset.events
    return int(log.time.max()) if log.has_time and len(log) else 0
