"""Originals: trained, pruned, rewound and trained again, as a recipe says."""
