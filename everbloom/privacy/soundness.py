"""Models under which a claim would silently break: refused, with the reason. What an experiment file could get wrong its mechanism refuses."""

from collections.abc import Iterable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from everbloom.config import LearningConfig, ModelConfig
from everbloom.errors import ConfigError, PrivacyError
from everbloom.methods import AggregationRule, Compression, FederatedAlgorithm
from everbloom.privacy.plan import PrivacyPlan


def check_algorithm(plan: PrivacyPlan, algorithm: FederatedAlgorithm | None) -> None:
    """Raises `PrivacyError` unless the plan's claim covers what the algorithm makes devices send.

    Under a user unit an update may be any function of a device's data, of what it remembers of them and of earlier releases: all of it is clipped.
    """
    if algorithm is not None and plan.unit not in algorithm.units:
        sound = " or ".join(f'"{unit}"' for unit in (*algorithm.units, "none"))
        raise PrivacyError(
            f'learning.algorithm = "{algorithm.name}": {algorithm.unsound}; use privacy.unit = {sound} (unit "{plan.unit}" cannot be claimed)'
        )


def check_compression(
    compression: Compression | None, plan: PrivacyPlan | None, model: ModelConfig, learning: LearningConfig
) -> None:
    """Raises `PrivacyError` where compressed updates would not be what the plan counts on, `ConfigError` where they would not be updates.

    Devices compress what was released. Where noise is in it (`dp-sgd`, `local`), compression and the memory of what was not sent are post-processing.
    Where a server adds the noise, what is sent is clipped after compression, last; that it depends on the device's memory of earlier rounds changes
    nothing, since a user unit bounds all that a user's device sends in a round, whatever it is made of. Which rounds a device was drawn for stays
    secret as it does without: given everybody else's draws, a round's sum is a mixture, over the device's earlier draws, of sums within the bound,
    and no mixture tells more than what it is made of.
    """
    if compression is None:
        return
    where = f'federation.compression = "{compression.name}"'
    if model.prior is not None:
        raise ConfigError(
            f"{where}: rounds that count ([model.prior]) send counts, which must arrive whole; remove one of the two"
        )
    if learning.algorithm is not None and learning.steered:
        raise ConfigError(
            f'{where}: with learning.algorithm = "{learning.algorithm.name}" devices remember the update they trained, and the server would add up '
            "another; remove one of the two"
        )
    release = None if plan is None else plan.release
    if release is not None and release.encoding is not None:
        raise PrivacyError(
            f"{where}: under secure aggregation devices send integers that carry their share of the noise, and compressed they are no longer such; "
            'remove it, or use privacy.mechanism = "central"'
        )
    if release is not None and release.tells_clipping:
        raise PrivacyError(
            f"{where}: with privacy.mechanism.adaptive_clip a number about the norm before compression goes with each update, and has no place in a "
            "compressed one; remove one of the two"
        )


def check_model(plan: PrivacyPlan, model: nn.Module, personal: Iterable[str] = ()) -> None:
    """Raises `PrivacyError` if per-example gradients of this model would not be what the plan counts on.

    `personal`: names of parameters that never leave the device. Under a user unit anything may be learnt: the whole update is clipped.
    """
    if plan.dp_sgd is None:
        return
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            raise PrivacyError(
                f"{name}: batch normalisation makes every example's gradient depend on the others, and its running statistics carry no noise; "
                'use layer normalisation, or privacy.unit = "user"'
            )
    _check_tied(model)
    trained = [name for name in personal if name in dict(model.named_parameters())]
    if trained:
        raise PrivacyError(
            f"{trained[0]}: a personal parameter is learnt from all examples without noise, so one example changes every other one's gradient; "
            f'share it, freeze it, or use privacy.unit = "user" (unit "{plan.unit}" cannot be claimed)'
        )


def check_aggregation(plan: PrivacyPlan, rule: AggregationRule) -> None:
    """Raises `PrivacyError` if the server must not look at updates one by one, as this rule does."""
    if rule.separate and plan.needs_sum is not None:
        raise PrivacyError(
            f'federation.aggregation = "{rule.name}": looks at every device\'s update, and under unit "{plan.unit}" with {plan.mechanism} '
            f'{plan.needs_sum}; use federation.aggregation = "mean", or privacy.mechanism "dp-sgd" or "local", whose updates are private one by one'
        )


def _check_tied(model: nn.Module) -> None:
    """Two layers on one weight: gradient norms are taken layer by layer and would miss what both add up to."""
    owners: dict[int, str] = {}
    for name, module in model.named_modules():
        for part, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            first = owners.setdefault(id(parameter), f"{name}.{part}")
            if first != f"{name}.{part}":
                raise PrivacyError(
                    f"{name}.{part}: tied to {first}, so clipping layer by layer would let an example exceed the clip norm; "
                    "give it a weight of its own"
                )
