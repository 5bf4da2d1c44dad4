"""Hyperparameter search: many trials of one experiment, each a normal run, chosen by Optuna from what earlier ones reached on validation."""
