"""Bank: money moves between accounts, so that the sum of all accounts at any moment is the total.

The setting's `facts` are `accounts`, how many there are, and `total`, their sum.
"""

from __future__ import annotations

from rome.testing.isolation.anomalies import AnomalyKind
from rome.testing.isolation.history import History, RecordedOperation, RecordedTransaction
from rome.testing.isolation.inference import Findings


def infer(history: History) -> Findings:
    """Compare every read of all accounts with the total, and every balance with 0.

    One statement may never see another total. If several statements do, they were not of one moment.
    """
    findings = Findings()
    accounts, total = history.setting.facts["accounts"], history.setting.facts["total"]
    for transaction in history.transactions:
        if transaction.outcome != "ok":
            continue
        seen: dict[int, int] = {}
        for statement in transaction.statements:
            balances = _balances(statement.operations)
            seen.update(balances)
            _judge(findings, transaction, balances, accounts, total, AnomalyKind.INVARIANT, "by one statement")
            overdrawn = {key: balance for key, balance in balances.items() if balance < 0}
            if overdrawn:
                findings.report(
                    AnomalyKind.INVARIANT, [transaction], f"{transaction.name} saw balances below 0: {overdrawn}"
                )
        if not any(len(_balances(statement.operations)) == accounts for statement in transaction.statements):
            _judge(findings, transaction, seen, accounts, total, AnomalyKind.G_SINGLE, "by several statements")
    return findings


def _balances(operations: list[RecordedOperation]) -> dict[int, int]:
    return {each.key: each.value for each in operations if each.kind == "read" and isinstance(each.value, int)}


def _judge(
    findings: Findings,
    transaction: RecordedTransaction,
    balances: dict[int, int],
    accounts: int,
    total: int,
    kind: AnomalyKind,
    how: str,
) -> None:
    found = sum(balances.values())
    if len(balances) == accounts and found != total:
        findings.report(
            kind, [transaction], f"{transaction.name} saw {found} in all {accounts} accounts, {how}; not {total}"
        )
