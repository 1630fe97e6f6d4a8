"""Plots as SVG inside the page: lines by a distance or a number, and cumulative shares. Text stays text."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import matplotlib as mpl

from romebench.figures import Figure, shown_value
from romebench.page.looks import Look

mpl.use("svg")
mpl.rcParams.update({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9})
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: E402

_WIDTH_IN, _HEIGHT_IN = 5.0, 3.3
"""Inches. Narrow, so that the text can still be read where the page is as wide as a phone."""
_INK = "#010203"
"""Stands for the page's own colour of text, light or dark."""

Line = Sequence[tuple[float, Figure]]
"""A figure at each place, in ascending order."""


def line_plot(lines: Mapping[Look, Line], across: str, *, log_across: bool = False) -> str:
    """A line for each, through the medians, with the runs' least and greatest as a band. All have the same unit.

    Args:
        across: what the places are, with their unit.
        log_across: whether equal steps are equal factors; there is no place at zero then.
    """
    unit = next(figure.unit for line in lines.values() for _, figure in line)
    with _axes() as (axes, drawn):
        for look, line in lines.items():
            places = [place for place, _ in line]
            medians = [figure.median for _, figure in line]
            least, greatest = zip(*(figure.spread for _, figure in line), strict=True)
            axes.plot(
                places,
                medians,
                look.dashes,
                marker="o",
                markersize=3,
                color=look.colour,
                lw=look.width,
                label=look.title,
            )
            axes.fill_between(places, least, greatest, color=look.colour, alpha=0.15, lw=0)
        every = sorted({place for line in lines.values() for place, _ in line})
        axes.set_xscale("log" if log_across else "linear")
        axes.xaxis.set(major_locator=FixedLocator(_apart(every, log=log_across)), minor_locator=NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: f"{place:,g}"))
        values = [value for line in lines.values() for _, figure in line for value in figure.spread]
        if unit == "s" and max(values) > 8 * min(values) > 0:
            axes.set_yscale("log")
            axes.yaxis.set(major_locator=FixedLocator(_steps(min(values), max(values))), minor_locator=NullLocator())
        else:
            axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: "0" if not value else _short(value, unit)))
        axes.set(xlabel=across)
        _finish(axes)
    return drawn[0]


def ratio_plot(lines: Mapping[Look, Sequence[float]], across: str, left: str, right: str) -> str:
    """The cumulative share of ratios. `left`, `right`: what a ratio below and above 1 means."""
    with _axes() as (axes, drawn):
        for look, found in lines.items():
            ratios = sorted(found)
            shares = [(number + 1) / len(ratios) * 100 for number in range(len(ratios))]
            axes.step([ratios[0], *ratios], [0, *shares], look.dashes, where="post", color=look.colour, lw=look.width)
            axes.plot([], [], look.dashes, color=look.colour, lw=look.width, label=look.title)
        every = [ratio for found in lines.values() for ratio in found]
        ticks = [
            tick for tick in (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16) if min(every) / 2 <= tick <= max(every) * 2
        ]
        axes.set_xscale("log")
        axes.xaxis.set(major_locator=FixedLocator(ticks), minor_locator=NullLocator())
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda tick, _: f"1/{1 / tick:.0f}" if tick < 1 else f"{tick:.0f}")
        )
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0f} %"))
        axes.set(xlabel=across, ylim=(0, 100))
        axes.axvline(1, color=_INK, lw=1)
        axes.set_title(f"← {left}", loc="left", fontsize=9, color=_INK)
        axes.set_title(f"{right} →", loc="right", fontsize=9, color=_INK)
        _finish(axes)
    return drawn[0]


@contextmanager
def _axes() -> Iterator[tuple[Axes, list[str]]]:
    """Axes to draw on; the SVG is in the list afterwards."""
    figure, axes = plt.subplots(figsize=(_WIDTH_IN, _HEIGHT_IN), layout="constrained")
    drawn: list[str] = []
    try:
        yield axes, drawn
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    finally:
        plt.close(figure)
    svg = text.getvalue()
    drawn.append(svg[svg.index("<svg") :].replace(_INK, "currentColor"))


def _finish(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(_INK)
    axes.tick_params(colors=_INK)
    axes.xaxis.label.set_color(_INK)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, labelcolor=_INK, frameon=False)


def _apart(places: Sequence[float], *, log: bool) -> list[float]:
    """Those of the places whose labels do not touch: the last one, and going down those far enough from the next."""
    where = [math.log(place) if log else place for place in places]
    kept = [len(places) - 1]
    for number in reversed(range(len(places))):
        if where[kept[-1]] - where[number] >= 0.08 * (where[-1] - where[0]) > 0:
            kept.append(number)
    return [places[number] for number in kept]


def _steps(least: float, greatest: float) -> list[float]:
    """1, 2, 5, 10, .. of whatever unit, from at most the least to at least the greatest."""
    steps = [digit * 10.0**power for power in range(-7, 6) for digit in (1, 2, 5)]
    first = max((number for number, step in enumerate(steps) if step <= least), default=0)
    last = min((number for number, step in enumerate(steps) if step >= greatest), default=len(steps) - 1)
    return steps[first : last + 1]


def _short(value: float, unit: str) -> str:
    """A tick: 200 ms, and not 200.0 ms."""
    if unit == "s":
        size, name = next(
            (size, name) for size, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")) if value >= size or name == "µs"
        )
        return f"{value / size:,g} {name}"
    return f"{value:,g}" if unit == "1/s" else shown_value(value, unit)
