"""The reference pages are what the code says."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
GENERATOR = runpy.run_path(str(DOCS / "generate.py"))


@pytest.mark.parametrize("page", GENERATOR["PAGES"])
def test_a_reference_page_is_up_to_date(page: str) -> None:
    """A key that the docs do not name, or name wrongly, costs somebody an afternoon: run docs/generate.py."""
    assert (DOCS / "reference" / page).read_text() == GENERATOR["render"](page)
