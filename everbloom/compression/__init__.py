"""Fewer bytes from the device: what an update becomes on its way to the server, and what the device remembers of the rest."""
