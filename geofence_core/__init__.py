"""Zones, distances and transitions in pure NumPy: arrays in, arrays out."""
