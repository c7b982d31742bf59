"""The commands with more than a line to them, one module each; cli.py puts them together."""
