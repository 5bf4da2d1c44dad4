"""Where a run's records can go beside its JSON lines: one file each."""
