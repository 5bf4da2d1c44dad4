"""What devices and server do beyond averaging local gradient steps: one algorithm a file."""
