"""What a member tells at /metrics and in no answer of its API: its quota."""

from __future__ import annotations

import http
import http.client
import re
import ssl

from rome.store.etcd.settings import Settings
from rome.store.option_values import Address

QUOTA = "etcd_server_quota_backend_bytes"


def read_metrics(settings: Settings, address: Address, timeout_s: float) -> dict[str, float]:
    """Return a member's metrics without labels; empty if it serves them elsewhere (--listen-metrics-urls)."""
    connection: http.client.HTTPConnection
    tls = settings.tls_context(protocol="http/1.1")
    if tls is None:
        connection = http.client.HTTPConnection(*address, timeout=timeout_s)
    else:
        connection = http.client.HTTPSConnection(*address, timeout=timeout_s, context=tls)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        text = response.read().decode(errors="replace") if response.status == http.HTTPStatus.OK else ""
    except (OSError, http.client.HTTPException, ssl.SSLError):
        return {}
    finally:
        connection.close()
    return {name: float(value) for name, value in re.findall(r"^(\w+) ([-+.\de]+)$", text, re.MULTILINE)}
