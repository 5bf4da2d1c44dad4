"""The plan's mechanism on a device: Opacus computes, clips and noises per-example gradients.

The plan fixes what Opacus would derive from the data: rates, steps and the divisor.
"""

import warnings
from collections.abc import Callable
from functools import partial

import torch
from opacus import PrivacyEngine
from opacus.optimizers import DPOptimizer
from opacus.optimizers.optimizer import _check_processed_flag, _mark_as_processed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from everbloom.privacy.mechanisms.dp_sgd import DpSgdPlan
from everbloom.privacy.noise import NoiseSource

PerExampleLoss = Callable[[torch.Tensor, int], torch.Tensor]
"""(indices of examples [batch], step) -> their losses [batch]; the loss of an example depends on that example alone."""

_PHYSICAL_BATCH_BYTES = 64 * 2**20
"""Per-example gradients held at once; a larger logical batch is accumulated in pieces, which changes nothing."""


class OpacusStep:
    """DP-SGD steps on one model, reusable for one client after another.

    Formal guarantee: each step releases sum(clip(g_i, C)) + N(0, (sC)^2 I) over its sampled examples, divided by the public denominator;
    sensitivity C under adding or removing one example.
    """

    def __init__(self, plan: DpSgdPlan, model: nn.Module, learning_rate: float) -> None:
        self.plan = plan
        self.model = model
        # Opacus wants a loader to derive its rates from; ours come from the plan, so this one only satisfies the call.
        unused = DataLoader(TensorDataset(torch.zeros(1)), batch_size=1)
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=learning_rate)
        with warnings.catch_warnings():
            # Opacus's own generator is not used: `run` is told where the noise comes from.
            warnings.filterwarnings("ignore", message="Secure RNG turned off")
            self.module, self.optimizer, _ = PrivacyEngine().make_private(
                module=model,
                optimizer=optimizer,
                data_loader=unused,
                noise_multiplier=plan.noise_multiplier,
                max_grad_norm=plan.clip_norm,
                poisson_sampling=False,
                loss_reduction="sum",
            )
        assert isinstance(self.optimizer, DPOptimizer)
        # Gradients of a sum, as the module was told; but the noisy sum is divided by the plan's constant, never by a number of examples.
        self.optimizer.loss_reduction = "mean"
        self.optimizer.expected_batch_size = plan.denominator
        parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self.physical_batch = max(1, _PHYSICAL_BATCH_BYTES // (4 * parameters))

    def run(
        self,
        loss: PerExampleLoss,
        examples: int,
        sampling: torch.Generator,
        noise: NoiseSource,
        regularise: Callable[[], None] | None = None,
    ) -> None:
        """One round's steps, in place on the model. Empty batches step too: noise alone is what they must release.

        `regularise` may add to the parameters' `grad` once the noise is in it; it must not read data, so that it is post-processing.
        """
        self._forget()
        self.optimizer.add_noise = partial(_add_noise, self.optimizer, noise)
        self.optimizer.attach_step_hook(lambda _: None if regularise is None else regularise())
        for step in range(self.plan.steps_per_round):
            self._accumulate(loss, self._sample(examples, sampling), step)
            self.optimizer.step()
            self.optimizer.zero_grad()

    def _forget(self) -> None:
        """Drops what a client that failed halfway left behind: its gradients must not enter the next one's sum."""
        self.optimizer._step_skip_queue.clear()
        self.optimizer._is_last_step_skipped = False
        self.optimizer.zero_grad()
        for parameter in self.optimizer.params:
            parameter._forward_counter = 0
            if hasattr(parameter, "_current_grad_sample"):
                del parameter._current_grad_sample
        for part in self.model.modules():
            for left in ("activations", "max_batch_len"):
                if hasattr(part, left):
                    delattr(part, left)

    def _sample(self, examples: int, sampling: torch.Generator) -> torch.Tensor:
        if self.plan.sample_rate == 1:
            return torch.arange(examples)
        return torch.nonzero(torch.rand(examples, generator=sampling) < self.plan.sample_rate).squeeze(1)

    def _accumulate(self, loss: PerExampleLoss, batch: torch.Tensor, step: int) -> None:
        """Leaves the batch's per-example gradients in the optimizer; all but the last piece are clipped and summed already."""
        if len(batch) == 0:
            for parameter in self.optimizer.params:
                parameter.grad_sample = torch.zeros((0, *parameter.shape))
            return
        pieces = batch.split(self.physical_batch)
        for place, piece in enumerate(pieces):
            with warnings.catch_warnings():
                # Opacus registers full backward hooks; integer inputs have no gradient, which torch remarks on.
                warnings.filterwarnings("ignore", message="Full backward hook is firing when gradients are computed")
                loss(piece, step).sum().backward()
            if place < len(pieces) - 1:
                self.optimizer.signal_skip_step(do_skip=True)
                self.optimizer.step()
                self.optimizer.zero_grad()


def _add_noise(optimizer: DPOptimizer, source: NoiseSource) -> None:
    """In place of Opacus's: the same numbers, from any source. The summed clipped gradients become the noisy ones."""
    for parameter in optimizer.params:
        _check_processed_flag(parameter.summed_grad)
        noise = source.normal(
            torch.empty_like(parameter.summed_grad), optimizer.noise_multiplier * optimizer.max_grad_norm
        )
        parameter.grad = (parameter.summed_grad + noise).view_as(parameter)
        _mark_as_processed(parameter.summed_grad)
