"""What a server needs to be deployed: keys and certificates, the files that start it, and its control from the operator's machine."""
