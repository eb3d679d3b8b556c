"""Emulated Bluetooth: tags on a simulated air, a radio that hears them, and the org.bluez that programs talk to."""
