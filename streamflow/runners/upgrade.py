"""A checkpoint held against the flow that is to go on from it, before anything is claimed: what maps to what."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow.cluster.manifest import Manifest
from streamflow.engine.task import Task
from streamflow.errors import UserError
from streamflow.plan.physical import PhysicalGraph, ReadSplits

_WORKERS_OWN = "partial calendar"
"""What parts before an exchange keep, which only flows on several workers have; it is found out again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """By the names of steps. `changed`: with what its state was and what it would be, in words."""

    flow: str
    checkpoint: int
    same: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]
    changed: tuple[tuple[str, str, str], ...]

    @classmethod
    def of(cls, base: Manifest, graph: PhysicalGraph) -> Upgrade:
        steps = {node.step for node in graph.nodes}
        now = graph.signatures()
        places = {address for stage in range(graph.stages) for address in Task(graph, stage, 0).addresses()}
        changed = [
            (step, before, now[step]) for step, before in base.signatures.items() if now.get(step, before) != before
        ]
        dropped = {
            f"the state {address}"
            for address in base.state
            if address not in places and not address.endswith(f"/{_WORKERS_OWN}")
        }
        dropped |= {f"the positions of the read {read}" for read in base.splits if read not in steps}
        dropped |= {f"unpublished rows of the write {sink}" for sink in base.committables if sink not in steps}
        known = {*base.signatures, *base.splits}
        reads = {node.step for node in graph.nodes if isinstance(node.work, ReadSplits)}
        return cls(
            flow=base.flow,
            checkpoint=base.checkpoint,
            same=tuple(sorted(known & ({*now} | reads))),
            new=tuple(sorted(({*now} | reads) - known)),
            dropped=tuple(sorted(dropped)),
            changed=tuple(changed),
        )

    def check(self, *, allow_dropped: bool) -> None:
        """UserError where a step's state is not what it was, or, unless that is allowed, where some has no step."""
        if self.changed:
            told = "; ".join(f"{step!r} was {before!r} and is {now!r}" for step, before, now in self.changed)
            raise UserError(
                f"the flow {self.flow!r} has changed, and the state in its checkpoint does not fit: {told}",
                remedy="give a step that is to start afresh another name, and allow that the old state is dropped",
            )
        if self.dropped and not allow_dropped:
            raise UserError(
                f"the flow {self.flow!r} has changed: its checkpoint holds {', '.join(self.dropped)}, "
                "which no step takes over",
                remedy="give steps the names that they had, or pass allow_dropped_state=True to go on without these",
            )

    def report(self) -> str | None:
        """What becomes of the checkpoint, for the user; None where the flow takes over all of it, and adds nothing."""
        if not self.new and not self.dropped:
            return None
        parts = [f"goes on: {', '.join(self.same)}"] if self.same else []
        parts += [f"new: {', '.join(self.new)}"] if self.new else []
        parts += [f"dropped: {', '.join(self.dropped)}"] if self.dropped else []
        return f"{self.flow} goes on from checkpoint {self.checkpoint} as a changed flow ({'; '.join(parts)})"
