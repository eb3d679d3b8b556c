"""Runs as folders: what a run leaves, and how it is read again."""
