"""The command `rome`."""
