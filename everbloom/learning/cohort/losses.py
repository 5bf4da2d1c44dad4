"""What the objective says of a cohort's examples, without learning from them."""

import numpy as np
import torch

from everbloom.config import LearningConfig
from everbloom.learning.cohort.batches import Cohort, make_batch, pieces, units_of
from everbloom.learning.cohort.budget import Budget
from everbloom.learning.cohort.forward import forward, signals_of
from everbloom.learning.cohort.personal import PersonalWeights
from everbloom.learning.cohort.places import Places, RowNumbers, touched_items
from everbloom.learning.cohort.table import ItemTable
from everbloom.learning.cohort.weights import SharedWeights, Skeleton


@torch.no_grad()
def losses_of(
    skeleton: Skeleton, learning: LearningConfig, budget: Budget, start: torch.Tensor, cohort: Cohort
) -> torch.Tensor:
    """[examples] losses under `start` [params]; nothing is dropped."""
    model = skeleton.model
    numbers = RowNumbers(model.item.items, touched_items(cohort), skeleton.device)
    SharedWeights(skeleton, start, numbers.rows)
    table = ItemTable(model.item, numbers.rows)
    personal = PersonalWeights(skeleton, cohort.kept, len(cohort))
    found = torch.zeros(len(cohort.examples))
    units = units_of(cohort, np.arange(len(cohort.examples)), budget.most_examples(model.history))
    for which in pieces(units, budget.batch, budget.example_cost(units.length)):
        batch = make_batch(cohort, units, which, None, model.item.items).to(skeleton.device)
        places = Places(numbers.of(batch.examples.items), numbers.of(batch.negatives))
        personal.select(batch.client)
        losses = forward(model, learning.objective, table, batch, places, signals_of(model, batch), None).losses
        found[batch.rows[batch.real].cpu()] = losses[batch.real].cpu()
    return found
