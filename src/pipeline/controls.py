"""Which autoencoders calibrate the instrument, and are never candidates."""

CONTROLS = ("identity", "pixel-unshuffle", "orthogonal", "lossy")
"""Families with a known answer."""
