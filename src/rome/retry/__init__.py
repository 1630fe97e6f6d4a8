"""Run a transaction again after a conflict, on Rome and on other databases.

Invariant: a transaction that may have been committed is never run again. Only an error that says that nothing was
written leads to another attempt (rome.retry.outcome); every other error is raised unchanged.

docs/retry.md has recipes. This package needs SQLAlchemy, and of Rome only its errors. The code that needs SQLAlchemy's
asyncio extension, and so greenlet, is in rome.retry.asynchronous.
"""

from rome.retry.outcome import is_retryable
from rome.retry.synchronous import run_transaction, transactional

__all__ = ["is_retryable", "run_transaction", "transactional"]
