"""Devices that send what harms the model: what each aggregation rule, and differential privacy, stop of it, and what they cost."""
