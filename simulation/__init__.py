"""A whole federation on one machine, and the `everbloom` command."""
