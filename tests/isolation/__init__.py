"""The checker of isolation levels, stores that are broken on purpose, and Hermitage's cases."""
