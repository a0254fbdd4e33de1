"""The rules that rewrite a logical graph, in the order in which they run, each a pure function in its own module."""

from __future__ import annotations

from collections.abc import Callable

from streamflow.plan.rewrite import Graph
from streamflow.plan.rules.aggregates import plain_aggregates
from streamflow.plan.rules.assigned import assigned_windows
from streamflow.plan.rules.event_time import time_per_split
from streamflow.plan.rules.filters import push_filters
from streamflow.plan.rules.last_rows import last_rows_as_aggregates
from streamflow.plan.rules.late import late_beside_results
from streamflow.plan.rules.order import carry_order
from streamflow.plan.rules.projection import push_projection
from streamflow.plan.rules.tops import tops_as_aggregates
from streamflow.plan.rules.validate import validate

RULES: tuple[Callable[[Graph], Graph], ...] = (
    time_per_split,
    tops_as_aggregates,
    last_rows_as_aggregates,
    assigned_windows,
    late_beside_results,
    plain_aggregates,
    push_filters,
    push_projection,
    carry_order,
)


def optimise(graph: Graph) -> Graph:
    """Apply every rule once, and check after each that changes the graph that it still holds together."""
    for rule in RULES:
        before, graph = graph, rule(graph)
        if [*map(id, graph)] != [*map(id, before)]:
            validate(graph, after=rule.__name__)
    return graph
