"""`rome doctor`: what it prints, and its exit status."""

from __future__ import annotations

import json

import pytest

from rome.cli import main
from rome.compiled import described
from rome.store.diagnosis import Diagnosis, Finding, Level, Loss
from rome.store.memory import MemoryStore

URL = "rome+memory:///nova"


def _diagnosis(*levels: Level) -> Diagnosis:
    findings = [Finding(f"check {level}", level, "the reason", "the remedy" if level else "") for level in levels]
    return Diagnosis("somewhere", [Loss("a power cut", "the last second")], findings)


def _found(monkeypatch: pytest.MonkeyPatch, diagnosis: Diagnosis) -> None:
    monkeypatch.setattr(MemoryStore, "diagnose", lambda _: diagnosis)


@pytest.mark.parametrize(
    ("levels", "status"),
    [
        ([], 0),
        ([Level.OK], 0),
        ([Level.OK, Level.UNKNOWN], 1),
        ([Level.WARNING, Level.OK], 1),
        ([Level.WARNING, Level.PROBLEM, Level.UNKNOWN], 2),
    ],
)
def test_status_is_that_of_the_worst(monkeypatch: pytest.MonkeyPatch, levels: list[Level], status: int) -> None:
    _found(monkeypatch, _diagnosis(*levels))
    assert main(["doctor", URL]) == status
    assert main(["doctor", URL, "--json"]) == status


def test_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _found(monkeypatch, _diagnosis(Level.OK, Level.PROBLEM))
    main(["doctor", URL])
    assert capsys.readouterr().out.splitlines() == [
        "somewhere",
        "",
        "when         acknowledged commits that are lost",
        "a power cut  the last second",
        "",
        "level    check     finding",
        "ok       check 0   the reason",
        "problem  check 3   the reason",
        "                   -> the remedy",
        f"ok       decoding  rows of large reads are decoded by: {described()}",
    ]


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _found(monkeypatch, _diagnosis(Level.WARNING))
    main(["doctor", "--json", URL])
    assert json.loads(capsys.readouterr().out) == {
        "subject": "somewhere",
        "level": "warning",
        "losses": {"a power cut": "the last second"},
        "findings": [
            {"check": "check 2", "level": "warning", "reason": "the reason", "remedy": "the remedy"},
            {
                "check": "decoding",
                "level": "ok",
                "reason": f"rows of large reads are decoded by: {described()}",
                "remedy": "",
            },
        ],
    }


def test_memory_is_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "rome+memory://"]) == 2
    assert "everything" in capsys.readouterr().out


def test_server_that_is_not_there_is_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "rome+redis://127.0.0.1:1/nova"]) == 2
    assert "problem  connection  127.0.0.1:1" in capsys.readouterr().out


def test_wrong_url_ends_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "rome+redis://localhost/nova?colour=red"]) == 2
    assert capsys.readouterr().err.startswith("rome doctor: rome+redis has no option 'colour'")
