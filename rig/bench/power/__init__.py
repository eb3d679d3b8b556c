"""Power of the devices on a bench: one ``PowerSwitch`` interface, a file for each way to switch."""
