"""Feature encoders, one file each, and the feature cache."""
