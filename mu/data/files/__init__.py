"""Image files in a folder, tar or zip: which of them are a data set, and what they look like."""
