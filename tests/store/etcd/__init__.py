"""What is etcd's own: members that fail, limits, users, TLS, diagnosis."""
