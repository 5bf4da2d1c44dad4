"""How people react to a ranked list."""
