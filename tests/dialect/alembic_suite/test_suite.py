"""Alembic's tests of dialects. What is not asked of Rome, and why: requirements.py."""

from alembic.testing.suite import *  # noqa: F403
