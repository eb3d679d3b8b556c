"""Tests of a bench with pytest: ``pytest --bench=desk.toml`` at a desk and the emulated bench in CI run the same ones.

Loaded with every pytest of an environment that has tagrig: until a test takes one of its fixtures, it imports nothing.
"""
