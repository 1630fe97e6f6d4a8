"""Take histories apart, so that each part of a transaction can be checked as a transaction of its own."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from rome.testing.isolation.history import (
    History,
    RecordedOperation,
    RecordedStatement,
    RecordedTransaction,
    make_history,
)


def with_reads_of_failed(history: History) -> History:
    """The history with one more transaction for each that failed, which holds what that one had read.

    Its reads of keys that it had written itself are left out.
    """
    parts = [_reads(each) for each in history.transactions if each.outcome == "fail"]
    return make_history(history.setting, [*history.transactions, *(part for part in parts if part.statements)])


def by_statements(history: History) -> History:
    """The history in which each statement's reads are a transaction of their own, and so are the writes of a COMMIT.

    Reads of keys that the transaction had written itself are left out.
    """
    parts: list[RecordedTransaction] = []
    for transaction in history.transactions:
        for number, statement in enumerate(_reads(transaction).statements):
            parts.append(_part(transaction, number, statement.begin, statement.end, [statement]))
        writes = [only for each in transaction.statements for only in _only(each, each.operations, writes=True)]
        if writes:
            parts.append(replace(transaction, begin=writes[-1].end, statements=writes))
    return make_history(history.setting, parts)


def _reads(transaction: RecordedTransaction) -> RecordedTransaction:
    """What a transaction read before it wrote the same key, as a transaction that was committed."""
    written: set[int] = set()
    statements: list[RecordedStatement] = []
    for statement in transaction.statements:
        statements += _only(statement, [each for each in statement.operations if each.key not in written], writes=False)
        written.update(each.key for each in statement.operations if each.kind != "read")
    end = statements[-1].end if statements else transaction.begin
    return _part(transaction, 0, transaction.begin, end, statements)


def _part(
    whole: RecordedTransaction, part: int, begin: int, end: int, statements: list[RecordedStatement]
) -> RecordedTransaction:
    return RecordedTransaction(whole.process, whole.number, begin, end, "ok", statements, part)


def _only(
    statement: RecordedStatement, operations: Iterable[RecordedOperation], *, writes: bool
) -> list[RecordedStatement]:
    """The statement with only its writes, or only its reads; an empty list if there are none."""
    kept = [each for each in operations if (each.kind != "read") is writes]
    return [RecordedStatement(statement.begin, statement.end, statement.predicate, kept)] if kept else []
