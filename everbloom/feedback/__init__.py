"""What a recommender does to what it learns from: how people react to lists, how lists explore, how exposure is measured. Arrays in, arrays out."""
