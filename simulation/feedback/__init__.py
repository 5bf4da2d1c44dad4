"""The feedback loop closed: the model recommends, people react, the federation learns from their clicks."""
