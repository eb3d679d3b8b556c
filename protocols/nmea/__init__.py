"""NMEA 0183 sentences to one fix per epoch, and the tag's own sentences."""
