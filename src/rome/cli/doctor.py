"""`rome doctor`: print a store's diagnosis as text or as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace

import rome
from rome.cli.table import table
from rome.compiled import channels, described
from rome.kv.inspection import findings as kv_findings
from rome.store.diagnosis import Diagnosis, Finding, Level

STATUS = {Level.OK: 0, Level.UNKNOWN: 1, Level.WARNING: 1, Level.PROBLEM: 2}


def run_doctor(parsed: argparse.Namespace) -> int:
    """Diagnose the store, print the result, and return the exit status: 0, 1 or 2 (see STATUS)."""
    diagnosis = rome.diagnose(parsed.url)
    findings = [*diagnosis.findings, *kv_findings(parsed.url), *_compiled_parts(parsed.url)]
    diagnosis = replace(diagnosis, findings=findings)
    print(as_json(diagnosis) if parsed.json else as_text(diagnosis))
    return STATUS[diagnosis.level]


def _compiled_parts(url: str) -> Iterator[Finding]:
    """What runs of that which may be compiled: without it Rome is slower, and nothing is at risk."""
    yield Finding("decoding", Level.OK, f"rows of large reads are decoded by: {described()}")
    if url.startswith("rome+redis"):
        yield Finding("trips", Level.OK, f"trips to Redis are made by: {channels.described()}")


def as_text(diagnosis: Diagnosis) -> str:
    """A table of what each kind of failure would lose, then the findings, each with its remedy below it."""
    lines = [diagnosis.subject]
    if diagnosis.losses:
        lines += ["", table(["when", "acknowledged commits that are lost"], diagnosis.losses)]
    rows: list[tuple[str, str, str]] = []
    for check, level, reason, remedy in diagnosis.findings:
        rows.append((level.name.lower(), check, reason))
        if remedy:
            rows.append(("", "", f"-> {remedy}"))
    lines += ["", table(["level", "check", "finding"], rows)]
    return "\n".join(lines)


def as_json(diagnosis: Diagnosis) -> str:
    """A JSON object: {subject, level, losses: {event: lost}, findings: [{check, level, reason, remedy}]}."""
    findings = [{**each._asdict(), "level": each.level.name.lower()} for each in diagnosis.findings]
    return json.dumps(
        {
            "subject": diagnosis.subject,
            "level": diagnosis.level.name.lower(),
            "losses": dict(diagnosis.losses),
            "findings": findings,
        },
        indent=2,
    )
