"""Local training: examples, candidates, objectives, one client's step."""
