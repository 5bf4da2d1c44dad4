"""A whole cohort trained at once: clients are a batch dimension. `engine` is where to begin."""
