"""Raises an exception at each point of an operation at which one may come from outside, and looks at what is left."""
