"""The page: one HTML document with its style and script inside, which asks nobody for anything.

It is complete without the script, which sorts, filters and refreshes. Everything that comes from an application is
escaped (rome.insights.markup), and the page's policy lets no other script run.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

from msgspec.structs import replace

from rome.insights.entries import CommitEntry, ConflictEntry, RepeatEntry, StatementEntry, Times
from rome.insights.figures import count, duration, number, share
from rome.insights.findings import LEAST_REPEATS, SLOWER, findings, is_large_scan, slow_commits
from rome.insights.markup import Content, Safe, joined, tag
from rome.insights.reporting import Report
from rome.insights.text import condensed, in_lines

_STYLE = files("rome.insights").joinpath("document.css").read_text()
_SCRIPT = files("rome.insights").joinpath("document.js").read_text()


def _source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


_POLICY = (
    f"default-src 'none'; style-src {_source(_STYLE)}; script-src {_source(_SCRIPT)}; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
CONTENT_SECURITY_POLICY = f"{_POLICY}; frame-ancestors 'none'"
"""The header; a <meta> element cannot say the last part."""

_TIMES = "\N{MULTIPLICATION SIGN}"
_MOST_DATABASES = 4
MOST_ROWS = 200
"""Entries of each kind that are on the page: it is made by the process that it is about."""
_MANY_ROWS = 500
"""A commit of more rows is advised to write fewer at once."""


class Cell(NamedTuple):
    """A cell of numbers: what is shown, and by what it is sorted."""

    content: Content
    value: float


class Row(NamedTuple):
    """A row: its id, what it is about, and its numbers."""

    id: str
    what: Safe
    cells: Sequence[Cell]


def document(report: Report, *, live: bool = False) -> str:
    """The page of a report.

    Args:
        live: it is served, and so can be refreshed; otherwise it is a file.

    Cost: some milliseconds for some hundred statements.
    """
    head = joined(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Safe("" if live else tag("meta", http_equiv="Content-Security-Policy", content=_POLICY)),
        tag("link", rel="icon", href="data:,"),
        tag("title", f"Statement insights: {', '.join(report.databases) or 'nothing recorded yet'}"),
        tag("style", Safe(_STYLE)),
    )
    body = joined(_header(report, live=live), tag("main", _main(report)), tag("script", Safe(_SCRIPT)))
    return f"<!doctype html>\n{tag('html', tag('head', head), tag('body', body), lang='en')}\n"


# ---------------------------------------------------------------- the head
def _header(report: Report, *, live: bool) -> Safe:
    tools: list[Content] = [
        tag(
            "label",
            tag("span", "Filter", class_="hidden"),
            tag(
                "input", type="search", id="filter", placeholder="Filter: table, word of SQL, file", spellcheck="false"
            ),
        )
    ]
    if live:
        tools.append(tag("button", "Refresh", type="button", id="refresh"))
        tools.append(tag("label", tag("input", type="checkbox", id="live"), " every 5 s", class_="check"))
    return tag(
        "header",
        tag("div", tag("h1", "Statement insights"), tag("div", tools, class_="tools"), class_="bar-of-tools"),
        tag("p", id="filtered", role="status"),
    )


def _main(report: Report) -> Safe:
    if not report.statements:
        return joined(_about(report), _nothing())
    shown = _listed(report)
    sections = [_time(shown, report), _repeats(shown), _scans(shown), _conflicts(shown), _commits(shown)]
    return joined(_about(report), _figures(report), _findings(report), _navigation(report), _left_out(report), sections)


def _listed(report: Report) -> Report:
    """The report with the statements alone that take the most time, or that other entries of the page name."""
    named = {each for repeat in report.repeats[:MOST_ROWS] for each in (repeat.statement, repeat.leader)}
    named |= {each for conflict in report.conflicts[:MOST_ROWS] for each in (*conflict.losers, *conflict.winners)}
    named |= {entry.id for entry in _scanning(report)[:MOST_ROWS]}
    statements = {
        id_: entry for rank, (id_, entry) in enumerate(report.statements.items()) if rank < MOST_ROWS or id_ in named
    }
    return replace(report, statements=statements)


def _left_out(report: Report) -> Content:
    most = max(map(len, (report.statements, report.repeats, report.conflicts, report.commits)))
    if most <= MOST_ROWS:
        return None
    return tag(
        "p",
        f"The first {MOST_ROWS} of each kind are below; ",
        tag("code", "rome insights --json"),
        " has all.",
        class_="about",
    )


def _about(report: Report) -> Safe:
    processes = report.processes
    if not processes:
        return Safe("")
    names = sorted({process.program for process in processes})
    where = (
        f"{names[0]} (process {processes[0].pid} on {processes[0].host})"
        if len(processes) == 1
        else f"{len(processes)} processes of {', '.join(names)}"
    )
    began, until = min(process.began for process in processes), max(process.until for process in processes)
    span = f"{_clock(began)} to {_clock(until)}, {duration(until - began)}"
    if report.damaged:
        span += f" · {count(report.damaged, 'line')} of the file left out, damaged"
    named = report.databases
    if len(named) > _MOST_DATABASES:
        named = [*named[:_MOST_DATABASES], f"and {len(named) - _MOST_DATABASES} more databases"]
    return tag(
        "p",
        tag("strong", " · ".join(named)),
        " " if report.databases else None,
        where,
        " · ",
        span,
        class_="about",
    )


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _nothing() -> Safe:
    return tag(
        "section",
        tag("h2", "Nothing is recorded yet"),
        tag("p", "Recording is on, and no statement has run since. Use the application, then refresh this page."),
        tag(
            "p",
            "Only connections that were opened after ",
            tag("code", "rome.insights.record()"),
            " are seen: call it before the first one, or start the process with ",
            tag("code", "ROME_INSIGHTS=8642"),
            ".",
        ),
        class_="empty",
    )


def _figures(report: Report) -> Safe:
    totals, commits = report.totals, report.commit_times
    shown: list[tuple[str, str, str]] = [
        ("Statements", number(totals.statements), f"{len(report.statements)} different ones"),
        ("Time in the database", duration(totals.time_s), f"{_per(totals.time_s, totals.statements)} per statement"),
        ("Round trips", number(totals.trips), f"{number(_ratio(totals.trips, totals.statements))} per statement"),
        ("Commits", number(totals.commits), _within(commits, totals.commits)),
        ("Conflicts", number(totals.conflicts), f"{number(totals.failed)} reached the application"),
    ]
    return tag(
        "dl",
        [tag("div", tag("dt", name), tag("dd", value), tag("dd", more, class_="more")) for name, value, more in shown],
        class_="figures",
    )


def _within(measured: Times, commits: int) -> str:
    if measured.count:
        return f"95 % within {duration(measured.quantile_s(0.95))}"
    return "as part of statements" if commits else "nothing was committed"


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0


def _per(seconds: float, things: int) -> str:
    return duration(_ratio(seconds, things))


def _navigation(report: Report) -> Safe:
    links = [
        ("time", "Time", len(report.statements)),
        ("repeats", "N+1 loads", len(report.repeats)),
        ("scans", "Full scans", len(_scanning(report))),
        ("conflicts", "Conflicts", len(report.conflicts)),
        ("commits", "Commits", len(report.commits)),
    ]
    return tag(
        "nav",
        [tag("a", name, " ", tag("span", number(found), class_="count"), href=f"#{id_}") for id_, name, found in links],
        aria_label="Sections",
    )


# ---------------------------------------------------------------- what stands out
def _findings(report: Report) -> Safe:
    found = [_finding(report, finding.entry) for finding in findings(report)]
    content = (
        tag("ul", [tag("li", each) for each in found])
        if found
        else tag(
            "p",
            f"Nothing: no N+1 load of {LEAST_REPEATS} calls, no large full scan, no hot row, no slow commit.",
            class_="note",
        )
    )
    return tag("section", tag("h2", "What stands out"), content, class_="findings", id="findings")


def _finding(report: Report, entry: RepeatEntry | ConflictEntry | StatementEntry | CommitEntry) -> Safe:
    if isinstance(entry, RepeatEntry):
        kind = "Rows one by one" if entry.writes else "N+1 load"
        leader = "" if entry.leader is None else f", after {_name(report, entry.leader)}"
        text = joined(
            tag("b", _name(report, entry.statement)),
            f" ran up to {number(entry.most)} times in one transaction{leader}",
            _at(entry.place),
        )
    elif isinstance(entry, ConflictEntry):
        kind = "Hot row"
        text = joined(
            tag("b", _row_of(entry)), f": {count(entry.conflicts, 'conflict')}", _failed(entry.failed, entry.conflicts)
        )
    elif isinstance(entry, StatementEntry):
        kind = "Full scan"
        tables = ", ".join(scan.table for scan in entry.scans)
        rows = count(_ratio(entry.rows_read, entry.times.count), "row")
        text = joined(tag("b", entry.name), f" reads all of {tables}: {rows} per call", _helped(entry))
    else:
        kind = "Slow commit"
        rows = count(_ratio(entry.rows_written, entry.times.count), "row")
        text = joined(
            tag("b", entry.name),
            f": {rows} per commit, 95 % within {duration(entry.times.quantile_s(0.95))}",
            _at(entry.place),
        )
    return joined(tag("a", kind, href=f"#{_anchor(entry)}", class_="kind"), tag("span", text))


def _anchor(entry: RepeatEntry | ConflictEntry | StatementEntry | CommitEntry) -> str:
    return f"scan-{entry.id}" if isinstance(entry, StatementEntry) else entry.id


def _row_of(entry: ConflictEntry) -> str:
    return entry.rows[0].upper() + entry.rows[1:]


def _failed(failed: int, conflicts: int) -> str:
    if failed == conflicts:
        return ", all of which reached the application"
    return f", {number(failed)} of which reached the application" if failed else ", all replayed by Rome"


def _helped(entry: StatementEntry) -> str:
    return ", which an index would spare" if any(scan.indexes for scan in entry.scans) else ""


def _at(place: str | None) -> Content:
    return None if place is None else [", at ", tag("span", place, class_="place")]


def _name(report: Report, statement: str) -> str:
    entry = report.statements.get(statement)
    return "a statement that is not kept any more" if entry is None else entry.name


# ---------------------------------------------------------------- sections
def _time(report: Report, complete: Report) -> Safe:
    whole, several = sum(entry.times.total_s for entry in complete.statements.values()), _has_several(report)
    rows = [
        Row(
            entry.id,
            joined(_statement(entry), _database_line(entry.database) if several else None),
            [
                _with_bar(entry.times.total_s, whole),
                _number(entry.times.count),
                _duration(entry.times.mean_s),
                _duration(entry.times.quantile_s(0.95)),
                _duration(entry.times.max_s),
                _number(_ratio(entry.trips, entry.times.count)),
                _number(_ratio(entry.rows_read, entry.times.count)),
            ],
        )
        for entry in report.statements.values()
    ]
    return _section(
        "time",
        "Where does the time go?",
        "Begin at the top: fewer calls help as much as faster ones.",
        ["Statement", "Total time", "Calls", "Mean", "95 % within", "Slowest", "Trips per call", "Rows read per call"],
        rows,
        "",
    )


def _repeats(report: Report) -> Safe:
    several = _has_several(report)
    rows = [
        Row(
            entry.id,
            joined(
                _sentence("", report, entry.statement),
                None if entry.leader is None else _sentence("for each row of", report, entry.leader),
                _place_line(entry.place),
                _database_line(entry.database) if several else None,
                _advice(
                    "Write the rows together: executemany(), or session.add_all()."
                    if entry.writes
                    else "Load them together: selectinload() or joinedload(), or one SELECT with IN."
                ),
            ),
            [
                _number(entry.most),
                _number(_ratio(entry.calls, entry.transactions)),
                _number(entry.transactions),
                _number(entry.trips),
                _duration(entry.total_s),
            ],
        )
        for entry in report.repeats[:MOST_ROWS]
    ]
    return _section(
        "repeats",
        "N+1 loads",
        "One statement finds N rows, and then another runs for each of them. Together they would take one round trip "
        "in place of N.",
        ["Statement", "Most in one transaction", "Mean", "Transactions", "Trips", "Time"],
        rows,
        "None: no transaction ran a statement five times or more with different parameters.",
    )


def _scanning(report: Report) -> list[StatementEntry]:
    found = [entry for entry in report.statements.values() if entry.scans]
    return sorted(found, key=lambda entry: -entry.rows_read)


def _scans(report: Report) -> Safe:
    rows, several = [], _has_several(report)
    for entry in _scanning(report)[:MOST_ROWS]:
        calls = entry.times.count
        lines: list[Content] = [_database_line(entry.database) if several else None]
        for scan in entry.scans:
            reason = f": {scan.reason}" if scan.reason else ""
            lines.append(tag("p", "Reads all of ", tag("b", scan.table), reason, ".", class_="note"))
            if scan.indexes:
                lines.append(
                    _advice("This would help: ", [tag("code", f"{index};", class_="ddl") for index in scan.indexes])
                )
            elif is_large_scan(entry):
                lines.append(_advice("No index is known to help: rome explain shows the plan."))
        cells = [
            _number(_ratio(entry.rows_read, calls)),
            _number(_ratio(entry.rows_returned, calls)),
            _number(calls),
            _duration(entry.times.total_s),
        ]
        rows.append(Row(f"scan-{entry.id}", joined(_sentence("", report, entry.id), lines), cells))
    return _section(
        "scans",
        "Full scans",
        "These statements read whole tables. That is cheap while a table is small, and grows with it: look for those "
        "that read many rows and return few.",
        ["Statement", "Rows read per call", "Rows returned", "Calls", "Total time"],
        rows,
        "None: every statement finds its rows by a key or an index.",
    )


def _conflicts(report: Report) -> Safe:
    rows, several = [], _has_several(report)
    for entry in report.conflicts[:MOST_ROWS]:
        unseen = count(entry.unseen, "time")
        what = joined(
            tag("p", tag("b", _row_of(entry)), class_="subject"),
            _database_line(entry.database) if several else None,
            _roles(report, "Lost", entry.losers),
            _roles(report, "Won", entry.winners),
            None if not entry.unseen else tag("p", f"Won by another process, or not seen: {unseen}.", class_="note"),
            [_place_line(place) for place, _ in _largest(entry.places)],
            _advice(_conflict_advice(entry)),
        )
        cells = [_number(entry.conflicts), _number(entry.conflicts - entry.failed), _number(entry.failed)]
        rows.append(Row(entry.id, what, cells))
    return _section(
        "conflicts",
        "Conflicts and hot rows",
        "Two transactions wanted the same rows, and the second to commit had to run again. A row at the top of this "
        "list is hot.",
        ["Rows", "Conflicts", "Replayed", "Errors"],
        rows,
        "None: no transaction met another.",
    )


def _conflict_advice(entry: ConflictEntry) -> str:
    if entry.is_row:
        advice = "Change the row last, just before COMMIT; spread a counter over several rows; or take it FOR UPDATE."
    elif entry.table:
        advice = "Read fewer rows: a narrower condition on an index, or reads outside of the transaction."
    else:
        advice = "Keep transactions short."
    return f"{advice} Where errors arrive, rome.run_transaction runs the transaction again." if entry.failed else advice


def _commits(report: Report) -> Safe:
    slow, several = {entry.id for entry in slow_commits(report)}, _has_several(report)
    rows = []
    for entry in report.commits[:MOST_ROWS]:
        times = entry.times
        what = joined(
            tag("p", tag("b", entry.name), class_="subject"),
            _place_line(entry.place),
            _database_line(entry.database) if several else None,
            _advice(_commit_advice(entry)) if entry.id in slow or _has_reason(entry) else None,
        )
        cells = [
            _duration(times.quantile_s(0.95)),
            _duration(times.mean_s),
            _duration(times.max_s),
            _number(times.count),
            _number(_ratio(entry.rows_written, times.count)),
            _number(entry.replays),
        ]
        rows.append(Row(entry.id, what, cells))
    usual = duration(report.commit_times.quantile_s(0.5))
    return _section(
        "commits",
        "Slow commits",
        f"By what the transactions wrote. Half of all commits took {usual} or less; where they take {SLOWER} times as "
        "long, the reason stands below.",
        ["What was written", "95 % within", "Mean", "Slowest", "Commits", "Rows per commit", "Replays"],
        rows,
        "None: nothing was committed, except under AUTOCOMMIT, where a commit is part of its statement's time.",
    )


def _has_reason(entry: CommitEntry) -> bool:
    return bool(entry.replays or entry.failed) or _ratio(entry.rows_written, entry.times.count) >= _MANY_ROWS


def _commit_advice(entry: CommitEntry) -> str:
    rows = _ratio(entry.rows_written, entry.times.count)
    if entry.replays or entry.failed:
        return "It met conflicts, and was run again: see the hot rows above."
    if entry.turns:
        return "It queued behind other transactions that wanted the same rows: see the hot rows above."
    if rows >= _MANY_ROWS:
        return f"It writes {number(rows)} rows at once: commit in parts, or with rome.bulk, so that others do not wait."
    if entry.trips > 1.5 * entry.times.count:
        return "It takes several round trips: constraints are checked, or the connection is new."
    return "The store itself is slow here: its disk (fsync), its replicas, or the network. rome doctor looks at them."


# ---------------------------------------------------------------- parts of a row
def _statement(entry: StatementEntry) -> Safe:
    """A statement that opens to show all that is known of it."""
    facts: list[tuple[str, Content]] = [("Database", entry.database)]
    if entry.rows_returned:
        facts.append(("Rows returned", number(entry.rows_returned)))
    if entry.rows_changed:
        facts.append(("Rows changed", number(entry.rows_changed)))
    if entry.executions != entry.times.count:
        facts.append(("Executions by executemany", number(entry.executions)))
    if entry.errors:
        facts.append(("Errors", number(entry.errors)))
    if entry.places:
        places = [
            tag("div", tag("span", place, class_="place"), f" {number(n)} {_TIMES}")
            for place, n in _largest(entry.places)
        ]
        facts.append(("Called at", places))
    if entry.parameters is not None:
        facts.append(("Parameters of the slowest", tag("code", entry.parameters)))
    if entry.scans:
        facts.append(("Full scan", tag("a", ", ".join(scan.table for scan in entry.scans), href=f"#scan-{entry.id}")))
    return tag(
        "details",
        tag("summary", tag("code", condensed(entry.text), class_="sql")),
        tag("pre", in_lines(entry.text), tabindex=0),
        tag("dl", [[tag("dt", name), tag("dd", content)] for name, content in facts], class_="facts"),
        id=f"more-{entry.id}",
    )


def _sentence(word: str, report: Report, statement: str) -> Safe:
    text = report.text_of(statement)
    link = tag("a", condensed(text), href=f"#{statement}", class_="sql") if statement in report.statements else text
    return tag("p", tag("span", f"{word} ", class_="role") if word else None, tag("code", link), class_="subject")


def _roles(report: Report, word: str, statements: dict[str, int]) -> Content:
    return [_sentence(f"{word} {number(times)} {_TIMES}", report, each) for each, times in _largest(statements)]


def _largest(numbers: dict[str, int], most: int = 4) -> list[tuple[str, int]]:
    return sorted(numbers.items(), key=lambda item: -item[1])[:most]


def _has_several(report: Report) -> bool:
    return len(report.databases) > 1


def _database_line(database: str) -> Safe:
    return tag("p", "in ", database, class_="note")


def _place_line(place: str | None) -> Content:
    return None if place is None else tag("p", "at ", tag("span", place, class_="place"), class_="note")


def _advice(*content: Content) -> Safe:
    return tag("p", *content, class_="advice")


def _number(value: float) -> Cell:
    return Cell(number(value), value)


def _duration(seconds: float) -> Cell:
    return Cell(duration(seconds), seconds)


def _with_bar(seconds: float, whole: float) -> Cell:
    bar = tag("rect", width=f"{100 * _ratio(seconds, whole):.2f}%", height="100%", rx="2")
    shown = joined(
        duration(seconds),
        " ",
        tag("span", share(seconds, whole), class_="share"),
        tag("svg", bar, class_="bar", aria_hidden="true"),
    )
    return Cell(shown, seconds)


def _section(
    id_: str, title: str, introduction: str, columns: Sequence[str], rows: Sequence[Row], otherwise: str
) -> Safe:
    """A heading, a sentence and a table, whose first column is what a row is about; sorted by its first number."""
    if not rows:
        return tag("section", tag("h2", title), tag("p", otherwise, class_="note"), id=id_)
    return tag(
        "section",
        tag("h2", title),
        tag("p", introduction, class_="note"),
        _table(id_, title, columns, rows),
        id=id_,
    )


def _table(id_: str, title: str, columns: Sequence[str], rows: Iterable[Row]) -> Safe:
    numbers = columns[1:]
    choice = tag(
        "label",
        "Sort by ",
        tag(
            "select",
            [tag("option", name, value=at, selected=at == 1) for at, name in enumerate(columns)],
            data_table=f"table-{id_}",
        ),
        class_="sort-choice",
    )
    heads = [
        tag(
            "th",
            tag("button", name, type="button", data_column=at),
            scope="col",
            aria_sort="descending" if at == 1 else "none",
            class_="number" if at else "what",
        )
        for at, name in enumerate(columns)
    ]
    body = [
        tag(
            "tr",
            tag("td", row.what, class_="what"),
            [
                tag("td", cell.content, class_="number", data_label=name, data_sort=repr(float(cell.value)))
                for name, cell in zip(numbers, row.cells, strict=True)
            ],
            id=row.id,
        )
        for row in rows
    ]
    table = tag(
        "table",
        tag("caption", title, class_="hidden"),
        tag("thead", tag("tr", heads)),
        tag("tbody", body),
        id=f"table-{id_}",
    )
    rest = tag("button", "Show all rows", type="button", class_="rest", data_table=f"table-{id_}", hidden=True)
    return joined(choice, table, rest)
