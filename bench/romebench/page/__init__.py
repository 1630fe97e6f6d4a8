"""The results as one HTML page, which needs nothing else, on any screen, in the light and in the dark."""

from __future__ import annotations

from romebench.figures import Results
from romebench.page import sections
from romebench.page.markup import document

__all__ = ["page"]


def page(results: Results) -> str:
    """The page's HTML. It leaves out what was not measured."""
    return document(
        "Rome, side by side",
        [
            *sections.opening(results),
            *sections.requests(results),
            *sections.distances(results),
            *sections.small_operations(results),
            *sections.pages(results),
            *sections.throughput(results),
            *sections.bulk(results),
            *sections.sites(results),
            *sections.targets(results),
            *sections.failures(results),
            *sections.everything(results),
            *sections.conditions(results),
        ],
    )
