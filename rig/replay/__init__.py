"""Runs again: the same judgement from a journal, the same bytes from captures, recordings in place of devices."""
