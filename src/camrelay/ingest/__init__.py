"""Camera to access units: connect, read, repair timestamps, hand over."""
