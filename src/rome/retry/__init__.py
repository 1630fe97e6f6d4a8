"""Run a transaction again when it lost to another one: on Rome, and on the databases that applications come from.

Invariant: what may have been committed is never run again. Only an error that says that nothing was written leads to
another attempt (rome.retry.outcome); everything else is raised as it is.

docs/retry.md has recipes. This package needs SQLAlchemy and no part of Rome but its errors. What needs SQLAlchemy's
asyncio extension, and so greenlet, is in rome.retry.asynchronous.
"""

from rome.retry.outcome import is_retryable
from rome.retry.synchronous import run_transaction, transactional

__all__ = ["is_retryable", "run_transaction", "transactional"]
