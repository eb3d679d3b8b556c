"""Talks to hardware: bytes and radio in, reports out."""
