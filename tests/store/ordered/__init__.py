"""The store of ordered keys, and its drivers."""
