"""Where a grammar takes its choices from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


@cache  # a strategy takes long to make
def _below(limit: int) -> st.SearchStrategy[int]:
    return st.integers(0, max(0, limit - 1))


class Choices:
    """Choices, all made of one: a number below a limit. Smaller numbers are for what is simpler."""

    def __init__(self, below: Callable[[int], int]) -> None:
        self.below = below

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))] if len(options) > 1 else options[0]

    def once_in(self, times: int) -> bool:
        """True in one of so many cases."""
        return self.below(times) == times - 1

    def some(self, options: Sequence[T], least: int, most: int) -> list[T]:
        """Between `least` and `most` of the options, each at most once."""
        left = list(options)
        count = min(least + self.below(most - least + 1), len(left))
        return [left.pop(self.below(len(left))) for _ in range(count)]


def strategy(make: Callable[[Choices], T]) -> st.SearchStrategy[T]:
    """What `make` makes of any choices; Hypothesis shrinks each towards 0."""

    @st.composite
    def drawn(draw: st.DrawFn) -> T:
        return make(Choices(lambda limit: draw(_below(limit))))

    return drawn()
