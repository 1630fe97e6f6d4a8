"""How often a transaction is tried, and how long to wait in between."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from rome.retry.outcome import RetryOutcome, is_retryable, outcome

_log = logging.getLogger("rome.retry")

MAX_ATTEMPTS = 10
FIRST_WAIT_S = 0.02
"""A few round trips: a loser can soon go on, and Rome gives priority to a thread after four losses in a row."""

MAX_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Policy:
    """How often to try, how long to wait in between, and after which errors.

    Attributes:
        max_attempts: runs of the function, including the first.
        first_wait_s, max_wait_s: before attempt n + 1 a random time between 0 and first_wait_s * 2 ** (n - 1) passes,
            at most max_wait_s.
        retryable: tells which errors lead to another attempt.
    """

    max_attempts: int = MAX_ATTEMPTS
    first_wait_s: float = FIRST_WAIT_S
    max_wait_s: float = MAX_WAIT_S
    retryable: Callable[[BaseException], bool] = is_retryable

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, and not {self.max_attempts}")
        if self.first_wait_s < 0 or self.max_wait_s < 0:
            raise ValueError("first_wait_s and max_wait_s must not be negative")


class Attempts:
    """The attempts of one transaction. `runner` names in notes what makes them."""

    def __init__(self, policy: Policy, runner: str = "run_transaction") -> None:
        self._policy = policy
        self._runner = runner
        self._made = 0

    def wait_s(self, error: Exception) -> float | None:
        """Return how long to wait before the next attempt; None if there is none and the error must be raised.

        A transaction with an unknown outcome is never run again, whatever `retryable` says.
        """
        self._made += 1
        known = outcome(error)
        if known is RetryOutcome.UNKNOWN:
            error.add_note(f"{self._runner} did not run it again, since it may have been committed")
            return None
        if not self._policy.retryable(error):
            return None
        if self._made >= self._policy.max_attempts:
            times = "attempt" if self._made == 1 else "attempts"
            error.add_note(f"{self._runner} gave up after {self._made} {times} (max_attempts)")
            return None
        longest = min(self._policy.max_wait_s, self._policy.first_wait_s * 2.0 ** (self._made - 1))
        wait_s = random.uniform(0, longest)
        _log.debug("attempt %d lost, the next one in %.3f s: %s", self._made, wait_s, error)
        return wait_s
