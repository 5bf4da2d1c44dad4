"""Events, items and time: the log, the catalogue, the timeline, and where they come from."""
