"""The rate that a progress bar shows."""

from rome.cli.progress import Rate


def test_what_was_there_before_a_resumption_counts_for_nothing() -> None:
    rate = Rate()
    assert rate.at(1_000_000, 2.0) == 0.0
    assert rate.at(1_003_000, 5.0) == 1_000.0


def test_nothing_has_begun() -> None:
    assert Rate().at(5, None) == 0.0
