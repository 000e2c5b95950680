"""A bundle of evidence that records were erased: made, signed, and verified by whoever has it.

Nothing here needs torch, MLflow or mu's store: a bundle, and at most a public key, are enough.
"""
