"""What is a store's own; what all stores promise is in tests/conformance."""
