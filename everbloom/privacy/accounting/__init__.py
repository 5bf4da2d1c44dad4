"""Epsilon of a mechanism, and noise for an epsilon. The plan alone calls this."""
