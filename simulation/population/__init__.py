"""How the devices of a simulation behave: when they are there, how long they take, how they fail."""
