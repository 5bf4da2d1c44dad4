"""The Flower server: strategy, rounds, central evaluation, checkpoints."""
