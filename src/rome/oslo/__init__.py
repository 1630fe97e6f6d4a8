"""Teach oslo.db the errors of Rome, CockroachDB and TiDB. Importing this package does it, once per process.

Engines on Rome import it automatically if oslo.db is loaded. For CockroachDB or TiDB the application must import it.

- rome_errors: Rome's errors become those that services retry.
- newsql_errors: the same for the dialect `cockroachdb`, and for TiDB behind `mysql`.
- engines: oslo.db's options for SQLite, sqlite_fk and sqlite_synchronous, hold for Rome's connections.
- provision: databases for services' functional tests. It is imported when oslo.db's provisioning is, which only tests
  use.

Other databases are not affected. docs/newsql.md says what was tested on which server.
"""

from rome.oslo import engines, newsql_errors, rome_errors

__all__ = ["engines", "newsql_errors", "rome_errors"]
