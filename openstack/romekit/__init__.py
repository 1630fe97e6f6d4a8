"""Real OpenStack services, unmodified, on any SQLAlchemy URL.

A URL holds `{db}` in place of a database's name, since Nova alone has four databases: `rome+redis://127.0.0.1/{db}`.
"""
