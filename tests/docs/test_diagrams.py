"""docs/diagrams: the pictures are those that tools/diagrams.py draws, and need nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools.diagrams import FOLDER, PICTURES, main

ROOT = Path(__file__).parents[2]


def test_files_are_what_is_drawn(tmp_path: Path) -> None:
    main(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in FOLDER.glob("*.svg")
    }


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_whole_and_used(name: str) -> None:
    text = (FOLDER / f"{name}.svg").read_text()
    root = ElementTree.fromstring(text)
    width, height = int(root.attrib["width"]), int(root.attrib["height"])
    for shape in root.iter("{http://www.w3.org/2000/svg}rect"):
        x, y, w, h = (float(shape.attrib[key]) for key in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height
    assert re.findall(r"(?:href|src)=|https?://(?!www\.w3\.org)", text) == []
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(f"diagrams/{name}.svg)" in page.read_text() for page in pages)
