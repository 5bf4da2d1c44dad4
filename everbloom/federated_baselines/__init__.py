"""Published federated recommenders as their papers describe them, to compare with: one user one client, pointwise binary cross entropy on the user's
own items and redrawn negatives, item embeddings averaged.

Their models do not fit the flat vector that this project's recommender sends: what a client keeps to itself differs from method to method, and papers
score with the client's own copy of the item embedding. So they have a family of their own: a method says what is shared and what is personal, how a
block of clients trains at once, how the server aggregates, and how a client scores. None of them has a privacy guarantee.
"""
