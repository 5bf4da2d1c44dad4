"""A published federated recommender instead of this project's own."""

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from everbloom.methods import FEDERATED_BASELINES, FederatedBaseline

BaselineConfig = Annotated[SerializeAsAny[FederatedBaseline], BeforeValidator(FEDERATED_BASELINES.parse)]
"""`[baseline]`: its model, local update and aggregation take the place of [model], [learning] and `federation.optimizer`."""
