"""BLE advertisements and characteristic values to typed reports and back."""
