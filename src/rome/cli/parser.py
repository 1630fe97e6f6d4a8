"""argparse with suggestions for misspelt commands, choices and options."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from rome.store.spelling import did_you_mean


class Parser(argparse.ArgumentParser):
    """As argparse.ArgumentParser; an error about an unknown word names the known one that is most similar."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            suggestion = did_you_mean(str(value), known) or f"; the choices are {', '.join(known)}"
            raise argparse.ArgumentError(action, f"there is no {value!r}{suggestion}")

    def refuse_unknown(self, texts: list[str]) -> NoReturn:
        """End with status 2: these arguments are not known."""
        options = [text for action in self._actions for text in action.option_strings]
        named = [text.partition("=")[0] for text in texts]
        self.error(f"unrecognized arguments: {' '.join(texts)}{did_you_mean(named[0], options)}")
