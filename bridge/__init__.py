"""Composition: the only place that knows both reports and arrays. Bytes in, MQTT messages out."""
