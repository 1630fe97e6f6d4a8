"""The times without a commit, from clients' files."""

from __future__ import annotations

from pathlib import Path

from tests.faults.pauses import after


def test_longest_times_after_each_strike(tmp_path: Path) -> None:
    first, second = tmp_path / "1.notes", tmp_path / "2.notes"
    first.write_text("committed 1 0.0\ncommitted 2 1.0\nnot-committed 3 2.0\ncommitted 4 4.0\ncommitted 5 11.0\n")
    second.write_text("committed 1 0.5\ncommitted 2 3.0\nsent 3 3.5\ncommitted 3 12.0\n")
    pauses = after([0.9, 9.0], [first, second])
    assert pauses.of_all == [2.0, 7.0], "from 1 to 3, and from 4 to 11, which ends after the second strike"
    assert pauses.of_one == [3.0, 9.0], "of the first client from 1 to 4, and of the second one from 3 to 12"


def test_what_ends_before_the_first_strike_does_not_count(tmp_path: Path) -> None:
    notes = tmp_path / "1.notes"
    notes.write_text("committed 1 0\ncommitted 2 5\ncommitted 3 6.5\n")
    assert after([6.0], [notes]).of_all == [1.5]
    assert str(after([], [notes])) == "no strike was timed"
