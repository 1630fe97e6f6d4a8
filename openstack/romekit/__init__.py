"""Real OpenStack services, unmodified, on any SQLAlchemy URL.

A URL holds `{db}` where it names a database, since Nova alone has four of them: `rome+redis://127.0.0.1/{db}`.
"""
