"""The worst example that a device can hold, made by hand: against the step that a device takes through Opacus.

A canary's gradient is a thousand clip norms long and the same at all parameters, so after clipping it pushes with a whole clip norm in every step:
no example can be easier to see. The device's other examples push the other way, each well below the clip norm; whatever is not done to each example
by itself (clipping a sum or a mean, a weight that comes after the clip) then shows.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from client.randomness import SeededRandomness
from everbloom.privacy.audit.evidence import privacy_loss
from everbloom.privacy.mechanisms.dp_sgd import DpSgdPlan
from everbloom.privacy.noise import NoiseSource
from everbloom.privacy.opacus_step import OpacusStep, PerExampleLoss
from simulation.audit.claims import Floats
from simulation.audit.devices import Ledgers, fresh_ledgers, rounds_answered

_PARAMETERS = 8
_OTHERS = 20
"""Examples that a device holds anyway; none under sampling, where they would only be noise to the attacker."""
_PUSH = -0.5
"""Clip norms by which each of these pushes."""
_LONG = 1000.0
"""Clip norms."""


class Step(Protocol):
    """What of `OpacusStep` is used."""

    def run(self, loss: PerExampleLoss, examples: int, sampling: torch.Generator, noise: NoiseSource) -> None:
        """One round's steps, in place on the model."""
        ...


class GradientCanary:
    """Many devices, one after the other, each with noise of its own. `step` (plan, model, learning rate) builds what is audited."""

    name = "device step (Opacus), worst gradient"

    def __init__(
        self,
        plan: DpSgdPlan,
        step: Callable[[DpSgdPlan, nn.Module, float], Step] = OpacusStep,
        ledgers: Ledgers = fresh_ledgers,
    ) -> None:
        self.plan = plan
        self.ledgers = ledgers
        self.model = nn.Linear(_PARAMETERS, 1, bias=False)
        self.step = step(plan, self.model, 1.0)

    def release(self, included: NDArray[np.bool_], seed: int) -> Floats:
        """See `AuditedMechanism`."""
        found = []
        inputs = [self._inputs(there) for there in (False, True)]
        for round in rounds_answered(self.ledgers(self.plan, len(included)), len(included), self.plan):
            found.append(
                [self._message(inputs[there], seed, run, round) for run, there in enumerate(included.tolist())]
            )
        seen = np.array(found, dtype=np.float64).reshape(len(found), len(included)).T
        if self.plan.sample_rate < 1 and self.plan.steps_per_round == 1:
            return privacy_loss(seen, self.plan.noise_multiplier, self.plan.sample_rate)
        return seen

    def _inputs(self, with_canary: bool) -> torch.Tensor:
        """[examples, params] gradients of a device's examples, up to their sign.

        One unit adds an example and turns others into their opposites, as many as make up the plan's reach.
        """
        turned = int((self.plan.reach - 1) / 2)
        push = [_PUSH] * (_OTHERS if self.plan.sample_rate == 1 else 0)
        push += [_LONG] * (turned + 1) if with_canary else [-_LONG] * turned
        inputs = torch.zeros((len(push), _PARAMETERS))
        inputs[:, 0] = torch.tensor(push) * self.plan.clip_norm
        return inputs

    def _message(self, inputs: torch.Tensor, seed: int, device: int, round: int) -> float:
        """What a device's update says of the canary's direction: the noisy sum of its steps there, in clip norms."""
        with torch.no_grad():
            self.model.weight.zero_()
        draws = SeededRandomness(seed, device).draws(period=0, round=round)
        # A descent on the loss -input . w moves w by the (clipped, noisy) sum of inputs.
        self.step.run(
            lambda batch, step: -self.model(inputs[batch]).squeeze(1), len(inputs), draws.sampling, draws.noise
        )
        return float(self.model.weight.detach()[0, 0]) * self.plan.denominator / self.plan.clip_norm
