"""SQLAlchemy's own suite. Its plugin takes the run over, so test_sqlalchemy_suite.py runs it apart."""
