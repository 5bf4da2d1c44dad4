"""A private cohort trained at once is Opacus itself, set up afresh for every client from nothing but its public interface."""

import copy
import dataclasses
import warnings

import numpy as np
import pytest
import torch
from opacus import PrivacyEngine
from torch.utils.data import DataLoader, TensorDataset

from everbloom.learning.candidates import build_candidates

SIZES = (4, 8, 12, 4)
"""Multiples of four: then a loader's batches are a quarter of a client's examples, and it takes four steps."""


def fresh_opacus(case, client, draws):
    """(what one epoch changes [params], its batch sizes)."""
    plan, examples = case.plan, case.examples(client)
    count, poisson = len(examples), plan.sample_rate < 1
    loader = DataLoader(
        TensorDataset(torch.arange(count)), batch_size=round(plan.sample_rate * count), generator=draws.sampling
    )
    model, sizes = case.model().train(), []
    private = copy.deepcopy(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module, optimizer, loader = PrivacyEngine().make_private(
            module=private,
            optimizer=torch.optim.SGD(private.parameters(), lr=case.learning.learning_rate / plan.denominator),
            data_loader=loader,
            noise_multiplier=plan.noise_multiplier,
            max_grad_norm=plan.clip_norm,
            poisson_sampling=poisson,
            loss_reduction="sum",
            noise_generator=draws.noise.generator,
        )
        for (rows,) in loader:
            part = examples.take(rows.to(torch.int64))
            negatives = case.cohort.negatives[client : client + 1].expand(len(part), -1)
            scores = module(part.items, part.circumstances, negatives, part.place)
            losses = case.learning.objective.per_example(scores, build_candidates(part, negatives, model.item.items))
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            sizes.append(len(part))
    return case.layout.flat(private) - case.start, sizes


def past_the_base_seed(draws):
    """A loader draws a base seed for its workers from the generator of its samples, before the first of them."""
    for own in draws:
        torch.empty((), dtype=torch.int64).random_(generator=own.sampling)
    return draws


@pytest.mark.parametrize("noise_multiplier", [1e-9, 0.5])
@pytest.mark.parametrize(("rate", "steps"), [(1.0, 1), (0.25, 4)])
@pytest.mark.parametrize("model", ["mlp-features", "content", "hybrid", "wide"])
def test_it_is_opacus(case_of, agree, make_plan, kind, model, rate, steps, noise_multiplier):
    """Full batch and Poisson, empty batches among them, each update and their sum."""
    plan = make_plan(noise_multiplier=noise_multiplier, denominator=3.0, sample_rate=rate, steps_per_round=steps)
    case = case_of(model, SIZES, kind, plan)
    draws = case.cohort.draws
    expected, sizes = zip(*(fresh_opacus(case, client, own) for client, own in enumerate(draws())), strict=True)
    if rate < 1:
        case = dataclasses.replace(
            case, cohort=dataclasses.replace(case.cohort, draws=lambda: past_the_base_seed(draws()))
        )
        assert all(len(batches) == steps for batches in sizes)
        assert 0 in np.concatenate(sizes)
        assert len(set(np.concatenate(sizes).tolist())) > 3
    for found, own in zip(case.engine().each(case.start, case.cohort).deltas, expected, strict=True):
        agree(found, own)
    agree(case.engine().total(case.start, case.cohort).deltas[0], np.sum(expected, axis=0))
