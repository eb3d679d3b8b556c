"""What runs on the emulated tags that speak Bluetooth. No I/O, no clock: time, bytes and events in, values out."""
