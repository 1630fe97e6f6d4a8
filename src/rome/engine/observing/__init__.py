"""What an operator sees: EXPLAIN ROME, EXPLAIN ROME ANALYZE, log lines and spans."""
