"""A deletion request: which records it means, and whether a model has forgotten them."""
