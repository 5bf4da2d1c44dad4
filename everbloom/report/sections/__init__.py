"""The sections of a report, one file each: groups of runs in, markup out."""
