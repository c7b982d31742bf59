"""Access units to viewers: one ring per camera, many outputs."""
