"""The driver for asyncio, and SQLAlchemy's AsyncEngine and AsyncSession on it."""
