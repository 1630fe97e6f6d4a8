"""EXPLAIN ROME and the logs."""
