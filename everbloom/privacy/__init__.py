"""The privacy plan: the only place that adds noise or computes an epsilon."""
