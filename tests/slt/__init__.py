"""sqllogictest: runs its files (https://www.sqlite.org/sqllogictest/) on Rome, or on stock SQLite."""
