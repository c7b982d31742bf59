"""What cameras do wrong, done on purpose in front of viewers."""
