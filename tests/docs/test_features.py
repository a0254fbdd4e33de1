"""Every feature that is claimed names a test that exists, in the file to which it links."""

from __future__ import annotations

import re
from pathlib import Path

FEATURES = Path(__file__).parents[2] / "docs" / "features.md"
NAMED = re.compile(r"\[`(test_\w+)`\]\(([^)]+)\)")


def rows() -> list[str]:
    """Of all tables, without their heads."""
    lines = [line for line in FEATURES.read_text().splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith("| ---") and not line.endswith("| shown by |")]


def test_every_feature_has_a_test() -> None:
    assert rows()
    assert [row for row in rows() if not NAMED.search(row)] == []


def test_the_tests_exist_where_the_links_lead() -> None:
    named = NAMED.findall(FEATURES.read_text())
    missing = [
        (name, place)
        for name, place in named
        if not re.search(rf"^def {name}\(", (FEATURES.parent / place).read_text(), re.MULTILINE)
    ]
    assert missing == []
