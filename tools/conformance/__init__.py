"""pykka's own test suite, out of its source distribution and unmodified, on Brama's actors."""
