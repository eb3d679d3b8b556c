"""The emulated ``org.bluez``: what programs on Linux know of Bluetooth, over the emulated radio."""
