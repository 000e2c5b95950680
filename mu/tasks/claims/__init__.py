"""Published claims, tested on runs of the store: which hold, by how much, and how surely."""
