"""What pruners rank weights by: gradients, paths, norms of filters; and the ranking itself."""
