"""Alembic's own suite. SQLAlchemy's plugin takes its run over, so test_alembic_suite.py runs it apart."""
