"""Emulated devices: each behaves like the real one on the wire and runs as its own process."""
