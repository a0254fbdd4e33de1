"""The contract with the outside, and what connectors are made of: ours and third parties' import this package only."""

from __future__ import annotations

from streamflow.connect.canonical import (
    canonical_schema,
    canonical_type,
    cast_array,
    cast_batch,
    cast_if_it_fits,
    rows_without_columns,
)
from streamflow.connect.changelog import visible_batch, visible_schema
from streamflow.connect.file_sink import (
    Encoder,
    FileCommitter,
    FileFormat,
    FileSink,
    FileTarget,
    FileWriter,
    Mode,
    Roll,
)
from streamflow.connect.files import FileReader, FileRows, Files, FileSource, Paths, reading
from streamflow.connect.frozen import set_fields, with_fields
from streamflow.connect.gathering import Gathering
from streamflow.connect.lines import LineDecoder, line_reader
from streamflow.connect.partitions import folder_values, partition_value, partitioned, require_columns
from streamflow.connect.quoting import Quoting
from streamflow.connect.registry import connector, connectors
from streamflow.connect.schemas import schema_of
from streamflow.connect.sink import (
    Committable,
    Committer,
    KeepingWriter,
    RowsRefused,
    Sink,
    SinkContext,
    TransactionalSink,
    TransactionalWriter,
    Writer,
)
from streamflow.connect.source import (
    BadRecord,
    ClockedReader,
    Ended,
    FilterableSource,
    GrowingReader,
    GrowingSource,
    PausableReader,
    PollResult,
    Position,
    ProjectableSource,
    QuietReader,
    Reader,
    SizedSource,
    Source,
    TimedSource,
    Wait,
)
from streamflow.connect.units import parse_duration, parse_size
from streamflow.errors import ConnectorError, DataError, Fatal, Retryable, SchemaError, StreamflowError, UserError

__all__ = [
    "BadRecord",
    "ClockedReader",
    "Committable",
    "Committer",
    "ConnectorError",
    "DataError",
    "Encoder",
    "Ended",
    "Fatal",
    "FileCommitter",
    "FileFormat",
    "FileReader",
    "FileRows",
    "FileSink",
    "FileSource",
    "FileTarget",
    "FileWriter",
    "Files",
    "FilterableSource",
    "Gathering",
    "GrowingReader",
    "GrowingSource",
    "KeepingWriter",
    "LineDecoder",
    "Mode",
    "Paths",
    "PausableReader",
    "PollResult",
    "Position",
    "ProjectableSource",
    "QuietReader",
    "Quoting",
    "Reader",
    "Retryable",
    "Roll",
    "RowsRefused",
    "SchemaError",
    "Sink",
    "SinkContext",
    "SizedSource",
    "Source",
    "StreamflowError",
    "TimedSource",
    "TransactionalSink",
    "TransactionalWriter",
    "UserError",
    "Wait",
    "Writer",
    "canonical_schema",
    "canonical_type",
    "cast_array",
    "cast_batch",
    "cast_if_it_fits",
    "connector",
    "connectors",
    "folder_values",
    "line_reader",
    "parse_duration",
    "parse_size",
    "partition_value",
    "partitioned",
    "reading",
    "require_columns",
    "rows_without_columns",
    "schema_of",
    "set_fields",
    "visible_batch",
    "visible_schema",
    "with_fields",
]
