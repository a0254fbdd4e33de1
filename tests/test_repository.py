"""What must hold for the tree as a whole, and no single module could test."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = sorted(chain(ROOT.glob("streamflow/**/*.py"), ROOT.glob("connectors/**/*.py")))
SCRIPTS = sorted(chain(ROOT.glob("pipelines/**/*.py"), ROOT.glob("benchmarks/**/*.py"), ROOT.glob("tests/**/*.py")))
TEXTS = sorted(
    path
    for pattern in ("*.md", "*.toml", "Makefile", ".ci/*", ".gitignore", ".*.yaml", "docs/**/*.md", "requirements/*")
    for path in ROOT.glob(pattern)
    if path.is_file()
)
CLOCK = ROOT / "streamflow/engine/clock.py"
CLOCKS = frozenset({
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns",
    "time.process_time", "time.sleep", "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
})  # fmt: skip
CHANCE = frozenset({"uuid.uuid1", "uuid.uuid4", "uuid4", "os.urandom", "random.SystemRandom"})
PICKLES = frozenset({"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle"})
SEEDED = frozenset({"Random", "default_rng", "Generator", "PCG64", "Philox", "SeedSequence"})


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a file, with the dotted name that is called."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def imports(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def uses_chance(called: str, call: ast.Call) -> bool:
    """A random number that no seed decides."""
    if called in CHANCE or called.startswith("secrets."):
        return True
    if re.match(r"(random|np\.random|numpy\.random)\.", called) is None:
        return False
    return called.rsplit(".", 1)[1] not in SEEDED or not (call.args or call.keywords)


def where(paths: Iterable[Path], found: Callable[[Path], Iterable[object]]) -> dict[str, list[object]]:
    """What was found, by file; files in which nothing was found are left out."""
    return {path.relative_to(ROOT).as_posix(): list(things) for path in paths if (things := list(found(path)))}


def test_every_module_says_what_it_is() -> None:
    assert where(CODE, lambda path: [] if ast.get_docstring(ast.parse(path.read_text())) else ["no docstring"]) == {}


def test_nothing_depends_on_the_interpreters_hash() -> None:
    def found(path: Path) -> list[int]:
        methods = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
        dunder = [range(node.lineno, (node.end_lineno or 0) + 1) for node in methods if node.name == "__hash__"]
        lines = [call.lineno for called, call in calls(path) if called == "hash"]
        return [line for line in lines if not any(line in within for within in dunder)]

    assert where(CODE, found) == {}


def test_nothing_is_pickled() -> None:
    assert where(CODE, lambda path: imports(path) & PICKLES) == {}


def test_time_and_chance_come_from_outside() -> None:
    def found(path: Path) -> list[str]:
        return [called for called, call in calls(path) if called in CLOCKS or uses_chance(called, call)]

    drawn = {path: set(names) for path, names in where([path for path in CODE if path != CLOCK], found).items()}
    assert drawn == {
        "streamflow/runners/local.py": {"uuid.uuid4"},  # the name of a new job
        "streamflow/runners/processes.py": {"uuid.uuid4"},
        "streamflow/runners/sockets.py": {"secrets.token_bytes"},  # what a job's processes know each other by
    }


def test_the_core_needs_only_pyarrow_and_numpy() -> None:
    allowed = sys.stdlib_module_names | {"numpy", "pyarrow", "streamflow", "streamflow_connectors"}
    on_demand = {
        "streamflow/operators/batch_forms.py": ["polars"],  # for functions that ask for its data frames
        "streamflow/state/object_store.py": ["obstore"],  # the extra `s3`
        "streamflow/pytest_plugin.py": ["pytest"],  # which imports it itself
    }
    others = where(CODE, lambda path: {module.split(".")[0] for module in imports(path)} - allowed)
    assert others == on_demand


def test_every_connector_of_the_entry_points_exists_and_every_public_one_is_announced() -> None:
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["streamflow.connectors"]
    public = [path.stem for path in ROOT.glob("connectors/streamflow_connectors/*.py") if path.stem[0] != "_"]
    assert entries == {connector: f"streamflow_connectors.{connector}" for connector in sorted(public)}


def test_there_are_forty_four_rules_and_each_says_why() -> None:
    text = (ROOT / "docs/design/semantics.md").read_text()
    rules = re.split(r"^\*\*(\d+)\. ", text, flags=re.MULTILINE)
    assert [int(number) for number in rules[1::2]] == list(range(1, 45))
    assert [number for number, rule in zip(rules[1::2], rules[2::2], strict=True) if rule.count("*Why:*") != 1] == []


def test_only_rules_that_exist_are_named() -> None:
    def found(path: Path) -> list[int]:
        named = re.findall(r"\brules? (\d+(?:(?:-|, | and )\d+)*)", path.read_text())
        return [
            int(number) for numbers in named for number in re.findall(r"\d+", numbers) if not 1 <= int(number) <= 44
        ]

    assert where([*CODE, *SCRIPTS, *TEXTS], found) == {}


def test_requirements_are_pinned_hashed_and_name_no_host() -> None:
    def found(path: Path) -> list[str]:
        pins = re.split(r"\n(?=\S)", path.read_text().strip())
        pinned = re.compile(r"[a-z0-9.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", re.DOTALL)
        return [pin for pin in pins if not pinned.match(pin) or "://" in pin]

    assert where(ROOT.glob("requirements/*.txt"), found) == {}


# In two halves, so that this file does not contain them.
ELSEWHERE = ["/" + "work/", "py" + "pi.org", "python" + "hosted", "/" + "root/"]


def test_no_text_names_a_place_outside_the_project() -> None:
    def found(path: Path) -> list[str]:
        text = path.read_text().lower()
        return [word for word in ELSEWHERE if word in text]

    assert where([*CODE, *SCRIPTS, *TEXTS], found) == {}
