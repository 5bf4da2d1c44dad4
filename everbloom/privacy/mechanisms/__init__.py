"""Mechanisms: one file each, with its table in the experiment file and its plan."""
