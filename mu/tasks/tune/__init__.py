"""The entry tune: a method's settings, searched by what all methods stop by."""
