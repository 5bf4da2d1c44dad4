"""A whole fleet on this machine: the server's parts as they are deployed, and devices that each hold one user of a data set."""
