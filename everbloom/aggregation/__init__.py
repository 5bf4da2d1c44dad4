"""Server optimizers: how the cohort's mean update changes the global parameters."""
