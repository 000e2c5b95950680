"""LMDB files of encoded images: built once, checked, and read at random.

A file holds, by key: ``meta`` (JSON), ``labels/train`` and ``labels/test`` (int64, little-endian,
one after the other), and for each image ``train/`` or ``test/`` and its sample number (8 bytes,
big-endian) a small header and the bytes of an ordinary image file. Beside it lies
``FILE.sha256``, the digest of the whole file. Nothing that is read is executed.
"""
