"""Nothing here can be tested where no C compiler was when Rome was installed, or where it is switched off."""

from __future__ import annotations

import pytest

from rome import compiled


@pytest.fixture
def library() -> str:
    """The path of the compiled part."""
    path = compiled.library()
    if path is None:
        pytest.skip(compiled.described())
    return path
