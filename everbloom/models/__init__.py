"""The recommender: item encoder, user encoder, score, and the layout of its shared parameters."""
