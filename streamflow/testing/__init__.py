"""Testing pipelines: run a flow over rows, with every interleaving, cut and crash decided by a seed.

>>> import pyarrow as pa, streamflow as sf
>>> from streamflow_connectors import memory
>>> def build() -> sf.Flow:
...     flow = sf.Flow("words")
...     words = flow.read("words", memory.Source(pa.table({"word": pa.array([], pa.string())})))
...     words.filter(sf.col("word") != "the").write("out", memory.Sink())
...     return flow
>>> results = sf.testing.run(build(), {"words": [{"word": "the"}, {"word": "end"}]}, seed=7, workers=3)
>>> results["out"].to_pylist()
[{'word': 'end'}]
"""

from __future__ import annotations

from streamflow.testing.compare import assert_rows, final
from streamflow.testing.expressions import evaluate
from streamflow.testing.harness import Results, run
from streamflow.testing.proving import Disproved, prove
from streamflow.testing.rows import advance, splits, watermark

__all__ = [
    "Disproved",
    "Results",
    "advance",
    "assert_rows",
    "evaluate",
    "final",
    "prove",
    "run",
    "splits",
    "watermark",
]
