"""How a list is made of scores, and how much of it is left to chance."""
