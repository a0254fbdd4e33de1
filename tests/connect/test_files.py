from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pytest
from streamflow_connectors import csv, jsonl, text

from streamflow.connect import Fatal, Files, UserError

TREE = ["a.txt", "b.csv", "sub/c.txt", "sub/deep/d.txt", "_staging/e.txt", ".hidden", "sub/_SUCCESS", "sub/[x].txt"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in TREE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("", ["a.txt", "b.csv", "sub/[x].txt", "sub/c.txt", "sub/deep/d.txt"]),
        ("sub/", ["sub/[x].txt", "sub/c.txt", "sub/deep/d.txt"]),
        ("a.txt", ["a.txt"]),
        ("_staging/e.txt", ["_staging/e.txt"]),
        ("_staging", ["_staging/e.txt"]),
        ("*.txt", ["a.txt"]),
        ("?.[ac]*", ["b.csv"]),
        ("[!b].*", ["a.txt"]),
        ("*/*.txt", ["sub/[x].txt", "sub/c.txt"]),
        ("**/*.txt", ["a.txt", "sub/[x].txt", "sub/c.txt", "sub/deep/d.txt"]),
        ("sub/**", ["sub/[x].txt", "sub/c.txt", "sub/deep/d.txt"]),
        ("sub/[x].txt", ["sub/[x].txt"]),
    ],
)
@pytest.mark.parametrize("prefix", ["", "file://"])
def test_which_files_a_path_means(tree: Path, path: str, names: list[str], prefix: str) -> None:
    if prefix and "?" in path:
        pytest.skip("a question mark starts the query of a URI")
    found = Files.of(f"{prefix}{tree}/{path}")
    assert found.names() == [f"{prefix}{tree}/{name}" for name in names]
    for name in found.names():
        filesystem, place = found.locate(name)
        with filesystem.open_input_stream(place) as stream:
            assert stream.read().decode() == name.removeprefix(f"{prefix}{tree}/") + "\n"


def test_relative_paths_keep_their_names(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert Files.of("sub").names() == ["sub/[x].txt", "sub/c.txt", "sub/deep/d.txt"]
    assert Files.of("*.txt").names() == ["a.txt"]
    assert Files.of(".").names()[0] == "a.txt"
    filesystem, place = Files.of("*.txt").locate("a.txt")
    assert filesystem.open_input_stream(place).read() == b"a.txt\n"


def test_a_list_is_read_in_the_order_of_names_without_repetition(tree: Path) -> None:
    found = Files.of([tree / "sub", f"{tree}/b.csv", tree / "sub" / "c.txt"])
    assert [name.removeprefix(f"{tree}/") for name in found.names()] == [
        "b.csv",
        "sub/[x].txt",
        "sub/c.txt",
        "sub/deep/d.txt",
    ]


def test_below_a_folder_a_format_reads_files_of_its_own_suffixes_only(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.JSONL", "c.csv", "d.jsonl.gz", "e.ndjson.zst", "README", "f.parquet", "sub/g.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")

    def names(*paths: Path) -> list[str]:
        return [name[len(str(tmp_path)) + 1 :] for name in jsonl.Source(list(paths), pa.schema({})).splits()]

    assert names(tmp_path) == ["a.jsonl", "d.jsonl.gz", "e.ndjson.zst", "sub/g.json"]
    assert names(tmp_path / "*.csv", tmp_path / "README") == ["README", "c.csv"]
    assert len(text.Source(tmp_path).splits()) == 8
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "x.txt").write_text("")
    with pytest.raises(UserError, match=r"only holds no file whose name ends in \.csv or \.tsv") as raised:
        csv.Source(tmp_path / "only", pa.schema({})).splits()
    assert raised.value.remedy is not None
    assert "glob" in raised.value.remedy


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("missing.txt", r"missing\.txt does not exist"),
        ("missing/*.txt", "missing does not exist"),
        ("*.parquet", "holds no file that the pattern matches"),
        ("empty", "empty holds no file"),
    ],
)
def test_a_path_without_files_is_refused_with_a_remedy(tree: Path, path: str, problem: str) -> None:
    (tree / "empty").mkdir()
    with pytest.raises(UserError, match=problem) as raised:
        Files.of(tree / path).names()
    assert raised.value.remedy is not None


def test_an_unknown_kind_of_uri_and_an_empty_list_are_refused() -> None:
    with pytest.raises(UserError, match="nowhere:// path cannot be opened"):
        Files.of("nowhere://x/y").names()
    with pytest.raises(UserError, match="a list of no paths names no files"):
        Files.of([])


def test_a_split_of_other_paths_is_refused(tree: Path) -> None:
    with pytest.raises(Fatal, match="'/elsewhere/a' is not below"):
        Files.of(tree / "sub").locate("/elsewhere/a")


def test_a_file_that_vanishes_is_fatal(tree: Path) -> None:
    source = text.Source(tree / "a.txt")
    reader = source.open(dict.fromkeys(source.splits()))
    (tree / "a.txt").unlink()
    with pytest.raises(Fatal, match=r"a\.txt does not exist any more"):
        reader.poll(10)
    reader.close()


def test_a_filesystem_of_the_users_own_is_used_for_plain_paths() -> None:
    mock, _ = pafs.FileSystem.from_uri("mock:///")
    mock.create_dir("in/deep")
    for name in ("in/deep/a.txt", "in/b.txt"):
        with mock.open_output_stream(name) as stream:
            stream.write(b"x\n")
    source = text.Source("in", filesystem=mock)
    assert source.splits() == ["in/b.txt", "in/deep/a.txt"]
    polled = source.open(dict.fromkeys(source.splits())).poll(5)
    assert isinstance(polled, list)
    [part] = polled
    assert isinstance(part, tuple)
    assert part[1].equals(pa.record_batch({"line": ["x"]}))
