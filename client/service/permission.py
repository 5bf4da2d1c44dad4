"""A server's request, held against the owner's policy before anything is read or charged. A refusal says what was asked and what is allowed."""

from flwr.app import RecordDict

from client.service.policy import OwnerPolicy, Server
from everbloom.errors import PrivacyError
from everbloom.privacy.mechanisms.distributed import DistributedPlan
from everbloom.privacy.plan import PrivacyPlan
from everbloom.signing import signer
from everbloom.wire import Task


def check_task(policy: OwnerPolicy, catalogue: str, content: RecordDict, task: Task) -> str:
    """The name of the policy's server that a task or an offer comes from. `catalogue` is the digest of the device's own.

    Raises `PrivacyError` if there is none, or if the terms ask for more than the owner allows.
    """
    server = _server(policy, catalogue, signer(content), task)
    privacy = task.terms.privacy
    if privacy.unit not in policy.units:
        raise PrivacyError(
            f"refused: privacy.unit = {privacy.unit!r} is asked for, this device's owner allows {', '.join(policy.units)}"
        )
    if privacy.mechanism is not None and privacy.mechanism.name not in policy.mechanisms:
        raise PrivacyError(
            f"refused: noise by {privacy.mechanism.name!r} is asked for, this device's owner allows {', '.join(policy.mechanisms)}"
        )
    if task.terms.course.cohort < policy.min_cohort:
        raise PrivacyError(
            f"refused: a cohort of {task.terms.course.cohort}, this device's owner wants {policy.min_cohort} or more"
        )
    return server.name


def check_sender(policy: OwnerPolicy, content: RecordDict) -> Server:
    """The policy's server whose key signed what is not a task. Raises `PrivacyError` if there is none."""
    key = signer(content)
    found = next((server for server in policy.servers if server.key is not None and server.key == key), None)
    if found is None:
        raise PrivacyError(
            "refused: not signed with the key of a server that the device's owner allows ([[servers]] key)"
        )
    return found


def check_evaluation(policy: OwnerPolicy) -> None:
    """Raises `PrivacyError` unless the owner lets the device tell how good a model is."""
    if not policy.evaluation:
        raise PrivacyError(
            "refused: a measurement of the model is asked for, this device's owner allows none (evaluation in the policy)"
        )


def check_plan(policy: OwnerPolicy, plan: PrivacyPlan | None) -> None:
    """Raises `PrivacyError` if the plan that the device made of the terms claims less privacy than its owner allows to spend."""
    if plan is None:  # `check_task` found that the owner allows no privacy at all
        return
    if plan.epsilon > policy.epsilon * (1 + 1e-6) or plan.delta > policy.delta:
        raise PrivacyError(
            f"refused: a budget of epsilon {plan.epsilon:.4g} at delta {plan.delta:g} is asked for, this device's owner allows "
            f"{policy.epsilon:.4g} at {policy.delta:g}"
        )
    if isinstance(plan, DistributedPlan) and plan.min_cohort < policy.min_cohort:
        raise PrivacyError(
            f"refused: sums of {plan.min_cohort} devices, this device's owner wants {policy.min_cohort} or more"
        )


def _server(policy: OwnerPolicy, catalogue: str, key: str | None, task: Task) -> Server:
    """The first of the policy's that fits."""
    if not policy.servers:
        raise PrivacyError("refused: this device's owner allows no server ([[servers]] in the policy is empty)")
    reasons = []
    for server in policy.servers:
        if (reason := _unlike(server, catalogue, key, task)) is None:
            return server
        reasons.append(f"{server.name}: {reason}")
    raise PrivacyError(f"refused: this is no server that the device's owner allows ({'; '.join(reasons)})")


def _unlike(server: Server, catalogue: str, key: str | None, task: Task) -> str | None:
    """Why a task is not this server's, or None."""
    if server.key is not None and server.key != key:
        return "the message is not signed" if key is None else "the message is signed with another key"
    if server.model_schema is not None and server.model_schema != task.schema:
        return f"parameter schema {task.schema}, expected {server.model_schema}"
    if server.catalogue is not None and server.catalogue != catalogue:
        return f"its catalogue is {server.catalogue[:16]}, this device holds {catalogue[:16]}"
    if task.catalogue is not None and task.catalogue != catalogue:
        return f"the task's catalogue is {task.catalogue[:16]}, this device holds {catalogue[:16]}"
    return None
