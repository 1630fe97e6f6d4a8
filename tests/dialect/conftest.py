collect_ignore = ["alembic_suite", "sqlalchemy_suite"]  # run by test_alembic_suite.py and test_sqlalchemy_suite.py
