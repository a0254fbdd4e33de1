"""Word count: how often each word has stood in the lines so far, as a changelog.

streamflow run pipelines/word_count.py -- --path 'notes/*.txt'
"""

from __future__ import annotations

from pathlib import Path

from streamflow_connectors import stdout, text

import streamflow as sf
from streamflow import col

TEXTS = Path(__file__).parent / "data" / "texts"


def build(path: str = str(TEXTS)) -> sf.Flow:
    flow = sf.Flow("word-count")
    lines = flow.read("lines", text.Source(path))
    words = lines.select(word=col("line").str.to_lowercase().str.replace_all(r"[^\p{L}]+", " ").str.split(" "))
    counts = words.explode("word").filter(col("word") != "").key_by("word").agg(count=sf.count()).step("counts")
    counts.write("out", stdout.Sink())
    return flow


if __name__ == "__main__":
    sf.main(build)
