"""Run unmodified SQLAlchemy applications on a distributed key/value store."""
