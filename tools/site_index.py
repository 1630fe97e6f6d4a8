"""Make the site's first page of README.md: the same text, with links as they are from inside docs/.

usage: python tools/site_index.py README.md > docs/index.md

A link to a file outside docs/ becomes its name, since the site does not have it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)]+)\)")


def site_index(readme: str) -> str:
    """The page's text."""

    def rewritten(found: re.Match[str]) -> str:
        picture, text, target = found.groups()
        return f"{picture}[{text}]({target.removeprefix('docs/')})" if target.startswith("docs/") else text

    return _LINK.sub(rewritten, readme)


if __name__ == "__main__":
    sys.stdout.write(site_index(Path(sys.argv[1]).read_text()))
