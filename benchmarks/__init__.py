"""Benchmarks: how many cameras and viewers a machine holds, and how that compares.

Every command is `python -m benchmarks.<name>`; `--help` says what it measures. Load never leaves the loopback
interface. Figures of different machines are not comparable, ratios of one run are.
"""
