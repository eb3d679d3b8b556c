"""Bytes to typed reports and back, sans-I/O."""
