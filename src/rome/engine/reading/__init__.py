"""From a fetch plan to rows: waves of reads, the smallest of several ranges, pages, answers without SQLite, streams."""
