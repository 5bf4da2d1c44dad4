"""The server: how the updates of a round become one, and how that changes the global parameters."""
