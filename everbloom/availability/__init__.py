"""When the devices of a simulated population can be asked: one file a model."""
