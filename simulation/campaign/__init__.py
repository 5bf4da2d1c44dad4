"""Many runs of one experiment in one directory: what a frontier, a comparison of methods and a rolling evaluation have in common."""
