"""How many rows all tasks of a job may skip or send to the dead letters before it stops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from streamflow.engine.task import Task
from streamflow.errors import DataError
from streamflow.plan.physical import PhysicalGraph


def skipped_rows(tasks: Iterable[Task]) -> dict[str, int]:
    """Rows that were left out so far, by step."""
    return _by_step(task.rejections.skipped for task in tasks)


def dead_rows(tasks: Iterable[Task]) -> dict[str, int]:
    """Rows that went to the dead letters so far, by step."""
    return _by_step(task.rejections.dead for task in tasks)


def _by_step(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(sorted(total.items()))


def check_budget(graph: PhysicalGraph, tasks: Iterable[Task]) -> None:
    """Raise DataError, with the step that had most of them, when there were more than the flow's `max_errors`."""
    if graph.max_errors is None:
        return
    tasks = list(tasks)
    total = sum(task.rejections.total for task in tasks)
    if total <= graph.max_errors:
        return
    [(worst, count)] = (Counter(skipped_rows(tasks)) + Counter(dead_rows(tasks))).most_common(1)
    raise DataError(
        f"{total:,} rows could not be processed, {count:,} of them in this step, and max_errors={graph.max_errors:,}",
        step=worst,
        location=next(node.location for node in graph.nodes if node.step == worst),
        remedy='look at them with on_error="dead_letter", correct the input or the step, or raise max_errors',
    )
