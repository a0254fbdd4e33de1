"""The documents keep their word: every example runs, every link leads somewhere.

The Python blocks of a document run in order, in one namespace and an empty folder, as a reader would type them in. A
block that starts with `>>>` is a doctest. A block behind a comment `<!-- not run: why -->` is left out.
"""

from __future__ import annotations

import doctest
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/**/*.md"))]
FENCE = re.compile(r"(?P<skip><!-- not run: [^>]+ -->\s*)?^```python\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!`)\[[^\]]+\]\((?P<target>[^)\s]+)\)")
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@dataclass(frozen=True, slots=True)
class Block:
    """The Python of one fence, and the line of the document on which it begins."""

    code: str
    line: int


def blocks(path: Path) -> list[Block]:
    text = path.read_text()
    fences = [fence for fence in FENCE.finditer(text) if not fence["skip"]]
    return [Block(fence["code"], text.count("\n", 0, fence.start("code"))) for fence in fences]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(path: Path) -> set[str]:
    """The fragments by which headings can be reached."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if blocks(path)], ids=name)
def test_the_examples_of_a_document_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = ModuleType("document")  # dataclasses and annotations look their module up by name
    monkeypatch.setitem(sys.modules, "document", module)
    for block in blocks(path):
        if block.code.startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(block.code, module.__dict__, name(path), str(path), block.line)
            doctest.DebugRunner(optionflags=FLAGS).run(test, clear_globs=False)
            module.__dict__.update(test.globs)
        else:
            exec(compile("\n" * block.line + block.code, path, "exec"), module.__dict__)  # noqa: S102


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_the_links_of_a_document_lead_somewhere(path: Path) -> None:
    broken = []
    for link in LINK.finditer(re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)):
        file, _, fragment = link["target"].partition("#")
        if "://" in file:
            continue
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link["target"])
    assert broken == []
