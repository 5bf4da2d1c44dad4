"""The audit: attacks on the mechanisms that an experiment runs, and on its recommender."""
