"""Values as bytes: `keys` (keys that sort as SQLite sorts), `rows` (records), `values` (the types), `shown_key`."""
