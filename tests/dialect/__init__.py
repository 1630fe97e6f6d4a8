"""SQLAlchemy's dialect, Alembic and oslo.db, by tests of our own and by the suites of theirs."""
