"""Every value, type, parameter and name goes in and comes out, on every store."""
