"""Tracks that somebody recorded: GPX, CSV, NMEA, our captures; plain or gzip."""

from rig.recordings.read import KINDS, RecordedPoint, Recording, kind_of, read_recording

__all__ = ["KINDS", "RecordedPoint", "Recording", "kind_of", "read_recording"]
