"""`everbloom run` of an experiment with a [baseline]: a published federated recommender, trained as its paper says."""
