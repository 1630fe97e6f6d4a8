"""The conformance suite on every store; one store alone by its marker, as in `pytest -m redis`."""

from rome.testing.store_suite import *  # noqa: F403
