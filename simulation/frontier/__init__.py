"""Privacy against utility: a grid over epsilon, unit and mechanism with several seeds, one table and one picture."""
