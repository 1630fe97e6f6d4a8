"""Run Nova in a process of its own, which boots servers on command.

usage: python -m romebench.workloads.nova_session URL DURABLE

Each line of stdin says how many servers to boot at once, and how many seconds that may take. The answer is a line of
JSON: the seconds of each boot, and all database requests until Nova came to rest.
"""

import romekit.scenario as scenario  # isort: skip (first of all: it decides between eventlet and native threads)

import json
import os
import sys
import time
from dataclasses import asdict

from nova.conf import CONF
from nova.servicegroup import api as servicegroup

from romebench.peers import tune_sqlite

_NEVER_S = 100_000
_REST_S = 0.4
"""Nova has come to rest when it has made no database request for this long."""


def main(url, durable):
    """Start Nova, then boot servers as stdin says."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    scenario.progress()  # Nova logs to stdout, which becomes stderr
    # No service reports that it is alive: it would do so during boots that come after a pause.
    CONF.set_override("report_interval", _NEVER_S)
    CONF.set_override("service_down_time", 2 * _NEVER_S)
    servicegroup.INITIAL_REPORTING_DELAY = _NEVER_S  # the first report does not wait for the interval
    tune_sqlite(durable=durable == "True")
    for group in ("database", "api_database"):  # Nova's fixtures let oslo.db switch it off, whatever the URL says
        CONF.set_override("sqlite_synchronous", durable == "True", group)
    requests = []

    def conduct(nova, recorder):
        for _ in range(scenario.WARM_UP):
            nova.boot(nova.new_server())
        _come_to_rest(recorder, requests)
        print("ready", file=answers)
        for line in sys.stdin:
            print(json.dumps(_boot(nova, recorder, requests, *map(int, line.split()))), file=answers)

    return 0 if scenario.run(url, lambda _line: None, requests, conduct) else 1


def _boot(nova, recorder, requests, at_once, limit_s):
    requests.clear()
    recorder.on = True
    seconds = nova.boot_at_once(at_once, limit_s)
    _come_to_rest(recorder, requests)
    return {"seconds": seconds, "requests": [asdict(request) for request in requests]}


def _come_to_rest(recorder, requests):
    """Wait until Nova rests: what it does after a server is ACTIVE belongs to the boot."""
    recorder.on = True
    seen = -1
    while seen != len(requests):
        seen = len(requests)
        time.sleep(_REST_S)
    recorder.on = False


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
