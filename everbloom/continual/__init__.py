"""Methods against forgetting: one file each."""
