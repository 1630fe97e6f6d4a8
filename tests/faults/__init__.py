"""Servers, connections, files and clients that fail while clients write; `make faults` does it more often."""
