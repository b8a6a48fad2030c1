"""One window through a stage: which pixels every node needs, then every node once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from acreage.core.cube import Cube, empty_cube
from acreage.core.grid import Box
from acreage.engine.plan import Context, PlanNode, Stage

ReadGiven = Callable[[int, Box | None], Cube]


@dataclass(frozen=True)
class Program:
    """The nodes of one stage, ready to be run for any window; frozen and picklable."""

    nodes: Mapping[int, PlanNode]
    order: tuple[int, ...]
    given: frozenset[int]
    targets: tuple[int, ...]

    @staticmethod
    def of(all_nodes: Sequence[PlanNode], stage: Stage) -> Program:
        """The program of a stage."""
        return Program(
            {i: all_nodes[i] for i in (*stage.nodes, *stage.given)},
            stage.nodes,
            frozenset(stage.given),
            stage.targets,
        )

    def regions(self, window: Box | None) -> dict[int, Box | None]:
        """The pixels of every node that this window needs: the union of what its consumers ask for."""
        needed: dict[int, Box | None] = dict.fromkeys(self.targets, window)
        for index in reversed(self.order):
            if index not in needed:
                continue
            node = self.nodes[index]
            for position, source in enumerate(node.inputs):
                wanted = self.input_region(node, position, needed[index])
                present = needed.get(source)
                needed[source] = wanted if present is None or wanted is None else present.union(wanted)
        return needed

    def input_region(self, node: PlanNode, position: int, region: Box | None) -> Box | None:
        """Pixels of one input that a region of a node's output needs; None for inputs without x and y."""
        full = self.nodes[node.inputs[position]].meta.box
        if full is None or region is None:
            return full
        return node.footprints[position](region, full).intersect(full)

    def run(self, window: Box | None, read_given: ReadGiven, context: Context) -> tuple[Cube, ...]:
        """The targets over a window. Each node runs once; a result is dropped after its last use."""
        needed = self.regions(window)
        uses: dict[int, int] = {}
        for index in self.order:
            if index in needed:
                for source in self.nodes[index].inputs:
                    uses[source] = uses.get(source, 0) + 1
        for target in self.targets:
            uses[target] = uses.get(target, 0) + 1
        results: dict[int, Cube] = {i: read_given(i, needed[i]) for i in self.given if i in needed}
        for index in self.order:
            if index not in needed:
                continue
            node = self.nodes[index]
            results[index] = self._run_node(node, needed[index], results, context)
            for source in node.inputs:
                uses[source] -= 1
                if uses[source] == 0:
                    results.pop(source, None)
        return tuple(results[t] for t in self.targets)

    def _run_node(
        self, node: PlanNode, region: Box | None, results: Mapping[int, Cube], context: Context
    ) -> Cube:
        out = node.meta if region is None or node.meta.box is None else node.meta.with_box(region)
        if out.box is not None and out.box.is_empty:
            return empty_cube(out)
        inputs = []
        for position, source in enumerate(node.inputs):
            part = self.input_region(node, position, out.box)
            inputs.append(results[source] if part is None else results[source].crop(part))
        return node.op.run(inputs, out, context)
