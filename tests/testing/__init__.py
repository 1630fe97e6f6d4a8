"""What Rome ships for tests of others: the delay proxy, and the entry points of a store."""
