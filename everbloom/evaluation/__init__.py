"""Central top-N evaluation: metrics, slices, baselines."""
