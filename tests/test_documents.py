"""The documents say what the code does, as far as a program can tell."""

import re
from pathlib import Path
from typing import Final

import pytest

from shared.errors import BY_CODE
from tests.generate_docs import errors_page, pages

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = sorted(
    str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
)


def test_pages_made_from_the_code_are_up_to_date() -> None:
    stale = [path.name for path, text in pages().items() if path.read_text() != text]
    assert not stale, "run: python -m tests.generate_docs"


def test_every_error_is_documented() -> None:
    codes = re.findall(r"^\| `([a-z-]+)` \|", errors_page(), re.MULTILINE)
    assert sorted(codes) == sorted(BY_CODE)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / page).read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_paths_in_code_marks_exist(page: str) -> None:
    named = re.findall(r"`((?:kiosk|server|shared|tests|docs)/[\w./-]+)`", (ROOT / page).read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []
