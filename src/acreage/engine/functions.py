"""What a plan says of user-defined functions: how they are called, what they give, which pixels they need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acreage.core.cube import CubeMeta
from acreage.core.errors import ProcessParameterInvalid
from acreage.core.udf import LabelledArray, UdfCode, UdfRunner
from acreage.engine.graph import GraphNode
from acreage.engine.ops import UdfOp, udf_output_meta
from acreage.engine.plan import Op
from acreage.engine.udf_features import SIGNATURES, UdfFeaturesOp, planned_features
from acreage.engine.udf_windows import cube_dimensions, null_window, udf_blocks, with_described
from acreage.processes.callback import Callback, ParameterRef
from acreage.processes.registry import POINTWISE, Blocks, Footprint


@dataclass(frozen=True)
class FunctionCall:
    """A function, and how it is called on a cube.

    Attributes:
        code: of the function.
        context: handed to it.
        dropped: dimension that its result does not have.
        target: dimension that stands in its place.
        blocks: in which it gets the cube; None: pixels are independent.
    """

    code: UdfCode
    context: Mapping[str, Any]
    dropped: str | None = None
    target: str | None = None
    blocks: Blocks | None = None


def callback_call(node: GraphNode, callback: Callback, given: CubeMeta) -> FunctionCall:
    """A function in the callback of a process, called on a cube.

    Raises:
        ProcessParameterInvalid: the process cannot run functions, or the code is not known yet.
        DimensionNotAvailable: the cube lacks the process's dimension.
    """
    call = callback.udf
    assert call is not None
    if not isinstance(call.udf, str) or not isinstance(call.runtime, str):
        raise ProcessParameterInvalid(
            "run_udf takes its code and runtime from a parameter that is known only while the job runs.",
            hint="Write them into the graph, or pass them as parameters of the whole process.",
        )
    a = node.arguments
    outer = a.get("context") or {}
    context = outer if isinstance(call.context, ParameterRef) else {**outer, **call.context}
    code = UdfCode(call.udf, call.runtime, call.version)
    match node.process_id:
        case "apply":
            return FunctionCall(code, context)
        case "reduce_dimension":
            given.dim(a["dimension"])
            return FunctionCall(code, context, dropped=a["dimension"])
        case "apply_dimension":
            given.dim(a["dimension"])
            target = a.get("target_dimension")
            dropped = a["dimension"] if target not in (None, a["dimension"]) else None
            return FunctionCall(code, context, dropped, target)
        case "apply_neighborhood":
            return FunctionCall(code, context, blocks=udf_blocks(given, a["size"], a.get("overlap")))
    raise ProcessParameterInvalid(
        f"Process {node.process_id!r} cannot run a user-defined function.",
        hint="Use apply, apply_dimension, reduce_dimension or apply_neighborhood.",
    )


@dataclass(frozen=True)
class Functions:
    """Plans calls; each function is tried once for one kind of cube.

    Attributes:
        runner: of the functions; None where the engine has none.
    """

    runner: UdfRunner | None
    _probes: dict[str, LabelledArray] = field(default_factory=dict)

    def planned(self, call: FunctionCall, given: CubeMeta) -> tuple[Footprint, CubeMeta, Op]:
        """Pixels that a call needs of its cube, its result, and what computes it.

        Raises:
            ProcessParameterInvalid: there is no runner.
            UdfError: the function refused the trial.
        """
        if self.runner is None:
            raise ProcessParameterInvalid(
                "The graph runs a user-defined function, and this engine has no runner for it.",
                hint="Start the engine with a UDF runner.",
            )
        op: Op
        signature = "" if given.geometries is None else self.runner.probe(call.code).signature
        if signature in SIGNATURES:
            op = UdfFeaturesOp(call.code, call.context, signature)
            meta = planned_features(self.runner, call.code, call.context, given, signature)
        else:
            op = UdfOp(call.code, call.context, call.blocks, given.box)
            meta = udf_output_meta(self._probe(self.runner, call, given), given, call.dropped, call.target)
            described = self.runner.describe(call.code, cube_dimensions(given), dict(call.context))
            meta = with_described(meta, described)
        return call.blocks or POINTWISE, meta, op

    def _probe(self, runner: UdfRunner, call: FunctionCall, given: CubeMeta) -> LabelledArray:
        """The function's answer to a tiny window of nulls."""
        array = null_window(given, call.blocks)
        about = [call.code.sha256, call.context, array.dims, array.values.shape, array.labels]
        key = json.dumps(about, sort_keys=True, default=str)
        if key not in self._probes:
            self._probes[key] = runner.run(call.code, array, dict(call.context)).array
        return self._probes[key]
