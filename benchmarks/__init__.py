"""Measured comparisons: the same federated work in everbloom, in other engines and as pooled training, side by side. `make bench` runs them."""
