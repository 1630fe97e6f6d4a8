"""What is LMDB's own: files, processes, crashes, damage."""
