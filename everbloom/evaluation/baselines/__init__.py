"""What a recommender has to beat: scorers without training."""
