"""docs/metrics.md and examples/monitoring say what the code exports, and Prometheus' own tools accept them.

promtool and prometheus are in Debian's package `prometheus`. Without them the tests that need them are skipped.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import prometheus_client
import pytest

import rome
from rome.metrics.metric import Metric, MetricKind
from rome.metrics.process import PROCESS_METRICS
from rome.metrics.stored import STORE_METRICS
from rome.tracing.meters import ATTRIBUTES, DURATION
from rome.transaction.totals import COMMIT_BOUNDS_S, REASONS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
MONITORING = ROOT / "examples" / "monitoring"
METRICS = {metric.name: metric for metric in (*PROCESS_METRICS, *STORE_METRICS)}
ADDED_BY_PROMETHEUS = {"instance", "job"}


# ------------------------------------------------------------ the page


def rows(head: str) -> list[list[str]]:
    """The cells of the table with this line of heads."""
    table = PAGE.partition(f"{head}\n")[2].partition("\n\n")[0].split("\n")[1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


@pytest.mark.parametrize(("section", "metrics"), [("In a process", PROCESS_METRICS), ("In the store", STORE_METRICS)])
def test_page_has_every_metric_as_it_is(section: str, metrics: tuple[Metric, ...]) -> None:
    text = PAGE.partition(f"## {section}\n")[2]
    table = text.partition("| metric | kind | labels |")[2].partition("\n\n")[0].split("\n")[2:]
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in table]
    assert [line[:4] for line in cells] == [
        [f"`{metric.name}`", metric.kind.value, ", ".join(f"`{label}`" for label in metric.labels), metric.text]
        for metric in metrics
    ]


def test_page_names_all_reasons_and_attributes() -> None:
    for reason in REASONS:
        assert f"`{reason}`" in PAGE
    assert dict(rows("| label | attribute |")) == {f"`{label}`": f"`{name}`" for label, name in ATTRIBUTES.items()}
    assert f"`{DURATION}`" in PAGE


def test_page_has_every_alert_with_its_remedy() -> None:
    alerts = re.findall(r"- alert: (\w+)\n.*?action: \"(.*?)\"\n", (MONITORING / "alerts.yml").read_text(), re.DOTALL)
    assert len(alerts) > 10
    assert [(name, action) for name, _, action in rows("| alert | when | what to do |")] == [
        (f"`{name}`", action) for name, action in alerts
    ]


def test_page_s_programs_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_client, "REGISTRY", prometheus_client.CollectorRegistry())
    programs = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(programs) == 3
    for program in programs[:2]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        exec(program.replace("9471", str(port)), {})
    assert "rome_statements_total" in prometheus_client.generate_latest(prometheus_client.REGISTRY).decode()


# ------------------------------------------------------------ the dashboard and the rules


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    return found


def expressions() -> list[tuple[str, str]]:
    """(where, expression) of each panel and rule."""
    found = [(panel["title"], target["expr"]) for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    rules = re.findall(r"- alert: (\w+)\n +expr: (?:>-\n)?(.*?)\n +(?:for|labels):", alerts(), re.DOTALL)
    return [*found, *((name, " ".join(expression.split())) for name, expression in rules)]


def alerts() -> str:
    return (MONITORING / "alerts.yml").read_text()


def exported(name: str) -> Metric:
    metric = METRICS.get(name) or METRICS[re.sub(r"_(bucket|sum|count)$", "", name)]
    assert (metric.kind is MetricKind.HISTOGRAM) == (name != metric.name), f"{name}: {metric.kind}"
    return metric


def labels_of(name: str) -> set[str]:
    metric = exported(name)
    return {*metric.all_labels, *(("le",) if name.endswith("_bucket") else ())}


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_expression_has_metrics_and_labels_that_are_exported(where: str, expression: str) -> None:
    names = re.findall(r"\brome_\w+", expression)
    assert names, where
    for name, selector in re.findall(r"\b(rome_\w+)(?:\{(.*?)\})?", expression):
        assert {*re.findall(r"(\w+)=~?", selector)} <= labels_of(name), where
    grouped = {label.strip() for labels in re.findall(r"\bby \((.*?)\)", expression) for label in labels.split(",")}
    assert grouped <= set.union(*map(labels_of, names)) | ADDED_BY_PROMETHEUS, where


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_counters_are_rates_and_gauges_are_not(where: str, expression: str) -> None:
    for name in re.findall(r"\brome_\w+", expression):
        in_rate = re.search(rf"\brate\({name}\b", expression) is not None
        assert in_rate == (exported(name).kind is not MetricKind.GAUGE), f"{where}: {name}"


def test_legends_have_labels_that_the_expression_leaves() -> None:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            wanted = {*re.findall(r"\{\{\s*(\w+)\s*\}\}", target.get("legendFormat", ""))}
            grouped = re.findall(r"\bby \((.*?)\)", target["expr"])
            names = re.findall(r"\brome_\w+", target["expr"])
            left = {each.strip() for each in grouped[0].split(",")} if grouped else set.union(*map(labels_of, names))
            assert wanted <= left, panel["title"]


def test_alerts_name_labels_that_they_have() -> None:
    for block in alerts().split("- alert: ")[1:]:
        [expression] = [each for name, each in expressions() if block.startswith(f"{name}\n")]
        grouped = re.findall(r"\bby \((.*?)\)", expression)
        names = re.findall(r"\brome_\w+", expression)
        left = {each.strip() for each in grouped[0].split(",")} if grouped else set.union(*map(labels_of, names))
        assert {*re.findall(r"\$labels\.(\w+)", block)} <= left, block


def test_dashboard_shows_every_metric_but_those_for_machines() -> None:
    shown = {exported(name).name for _, expression in expressions() for name in re.findall(r"\brome_\w+", expression)}
    assert METRICS.keys() - shown == set()


def test_panels_lie_side_by_side() -> None:
    cells: dict[tuple[int, int], str] = {}
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in cells, f"{panel['title']} lies over {cells[x, y]}"
                cells[x, y] = panel["title"]
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len({*ids})


def test_thresholds_of_slow_commits_are_bounds_of_buckets() -> None:
    assert 0.5 in COMMIT_BOUNDS_S, "else the alert could not tell it"


# ------------------------------------------------------------ Prometheus' own tools


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: prometheus)")
    return found


@pytest.mark.parametrize(
    "command",
    [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml"), ("check", "config", "prometheus.yml")],
)
def test_promtool_accepts_it(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [tool("promtool"), *command], cwd=MONITORING, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_metrics(tmp_path: Path) -> None:
    promtool, url = tool("promtool"), f"rome+lmdb:///{tmp_path}/checked.rome"
    with closing(rome.connect(url)) as connection:
        connection.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t DEFAULT VALUES")
    stored = subprocess.run(
        [sys.executable, "-m", "rome", "metrics", url], capture_output=True, text=True, check=True, timeout=60
    )
    for text in (rome.metrics.text(), stored.stdout):
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    rome.drop_database(url)


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    """A Prometheus with the example's configuration, which scrapes this process and `rome metrics` each second."""
    server, url = tool("prometheus"), f"rome+lmdb:///{tmp_path}/scraped.rome"
    with closing(rome.connect(url)) as connection:
        connection.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t (n) VALUES (0)")
        command = [sys.executable, "-m", "rome", "metrics", url, "--serve", "0"]
        with rome.metrics.serve(0) as mine, subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as store:
            assert store.stderr is not None
            at = urllib.parse.urlsplit(store.stderr.readline().split()[-1]).netloc
            text = (MONITORING / "prometheus.yml").read_text().replace("15s", "1s")
            text = text.replace("127.0.0.1:9470", at).replace("127.0.0.1:9471", f"127.0.0.1:{mine.port}")
            (tmp_path / "prometheus.yml").write_text(text)
            shutil.copy(MONITORING / "alerts.yml", tmp_path)
            with socket.create_server(("127.0.0.1", 0)) as free:
                address = f"127.0.0.1:{free.getsockname()[1]}"
            arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"]
            with (
                (tmp_path / "log").open("w") as log,
                subprocess.Popen([server, *arguments], cwd=tmp_path, stderr=log) as it,
            ):
                try:
                    _work(connection, f"http://{address}")
                    yield f"http://{address}"
                finally:
                    it.terminate()
                    store.terminate()
    rome.drop_database(url)


def _work(connection: rome.dbapi.Connection, server: str) -> None:
    """Commit until Prometheus has seen a rate of it."""
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        connection.execute("UPDATE t SET n = n + 1")
        connection.commit()
        try:
            if all(ask(server, f"rate({name}[1m]) > 0") for name in ("rome_commits_total", "rome_store_version_total")):
                return
        except urllib.error.URLError:  # it has not begun yet
            pass
        time.sleep(0.2)
    raise AssertionError("Prometheus has seen no commits")


def ask(server: str, expression: str) -> list[Any]:
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{server}/api/v1/query?{query}", timeout=10) as answer:
        found = json.load(answer)
    assert found["status"] == "success", found
    result: list[Any] = found["data"]["result"]
    return result


def test_prometheus_answers_every_panel(prometheus: str) -> None:
    without = []
    for where, expression in expressions():
        filled = expression.replace("$__rate_interval", "1m").replace("$store", ".*").replace("$database", ".*")
        if not ask(prometheus, filled) and where in {panel["title"] for panel in dashboard()["panels"]}:
            without += re.findall(r"\brome_\w+", filled)
    # Nobody has met a conflict.
    assert {*without} <= {"rome_conflicts_total"}
    [up] = ask(prometheus, "rome_store_up")
    assert up["metric"]["job"] == "rome-store"
