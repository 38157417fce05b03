"""The pictures of the documentation: small, made by one script, and shown on a page."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = sorted((ROOT / "docs" / "images").iterdir())
SCRIPT = (ROOT / "docs" / "make_images.py").read_text(encoding="utf-8")


def test_the_script_makes_every_picture() -> None:
    (names,) = re.findall(r"^PICTURES = \((.*)\)$", SCRIPT, re.MULTILINE)
    assert {path.name for path in IMAGES} == set(re.findall(r'"(.*?)"', names))


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_a_picture_is_small_and_asks_no_network_for_anything(path: Path) -> None:
    if path.suffix == ".svg":
        text = path.read_text(encoding="utf-8")
        assert len(text) < 60_000
        assert set(re.findall(r"https?://[^\"' )]*", text)) == {"http://www.w3.org/2000/svg"}
    else:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size <= 250_000
