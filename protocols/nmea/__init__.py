"""NMEA 0183 sentences to one fix per epoch, and the tag's own sentences."""

from protocols.nmea.decoder import NmeaCounters, NmeaDecoder

__all__ = ["NmeaCounters", "NmeaDecoder"]
