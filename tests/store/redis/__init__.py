"""What is Redis' and Valkey's own: scripts, connections, failovers, users, TLS."""
