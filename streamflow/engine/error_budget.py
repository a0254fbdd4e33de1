"""How many rows all tasks of a job may skip or send to the dead letters before it stops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from streamflow.engine.task import Task
from streamflow.errors import TooManyErrors
from streamflow.plan.physical import PhysicalGraph


def skipped_rows(tasks: Iterable[Task]) -> dict[str, int]:
    """Rows that were left out so far, by step."""
    return added(task.rejections.skipped for task in tasks)


def dead_rows(tasks: Iterable[Task]) -> dict[str, int]:
    """Rows that went to the dead letters so far, by step."""
    return added(task.rejections.dead for task in tasks)


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts by step, put together.

    >>> added([{"b": 1}, {"a": 2, "b": 3}])
    {'a': 2, 'b': 4}
    """
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(sorted(total.items()))


def check_budget(graph: PhysicalGraph, tasks: Iterable[Task]) -> None:
    """Raise TooManyErrors, with the step that had most of them, when there were more than the flow's `max_errors`."""
    if graph.max_errors is None:
        return
    tasks = list(tasks)
    if sum(task.rejections.total for task in tasks) > graph.max_errors:
        check_counts(graph, skipped_rows(tasks), dead_rows(tasks))


def check_counts(graph: PhysicalGraph, skipped: Mapping[str, int], dead: Mapping[str, int]) -> None:
    """The same, by what was counted of them."""
    counts = Counter(skipped) + Counter(dead)
    total = sum(counts.values())
    if graph.max_errors is None or total <= graph.max_errors:
        return
    [(worst, count)] = counts.most_common(1)
    raise TooManyErrors(
        f"{total:,} rows could not be processed, {count:,} of them in this step, and max_errors={graph.max_errors:,}",
        step=worst,
        location=next(node.location for node in graph.nodes if node.step == worst),
        remedy='look at them with on_error="dead_letter", correct the input or the step, or raise max_errors',
    )
