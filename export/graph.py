"""Trace a streaming module into an ONNX graph for one block size."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import Any

import onnx
import torch

from ..runtime.bundle import next_name
from .assemble import IR_VERSION, drop_notes
from .errors import ExportError, GraphError
from .names import name_nodes
from .probe import example_of
from .streaming import StreamingModule
from .values import free, names_of, rename

OPSET = 18
OURS = "tonearm.edge."  # how the names begin that inputs and outputs have while they are traced


def frames_per_block(module: StreamingModule, block: int) -> int:
    """`block` samples in frames; `ExportError` unless it is a whole number of hops."""
    if block < 1 or block % module.hop:
        near = max(1, round(block / module.hop)) * module.hop
        raise ExportError(
            f"a block of {block} samples is not a whole number of hops of {module.hop}: try {near}, or any multiple"
        )
    return block // module.hop


def trace(module: StreamingModule, block: int) -> onnx.ModelProto:
    """The graph that computes one block of `block` samples; shapes are fixed.

    A dynamic time axis would be frozen by the exporter inside the GRU anyway, silently.
    """
    inputs = example_of(module, frames_per_block(module, block))
    states = module.zero_states()
    given, results = [*inputs, *states], _result_names(module)
    ours = OURS
    while any(name.startswith(ours) for name in (*given, *results)):
        ours += "."
    # The exporter gives values inside the graph names of its own, which may be those of inputs and outputs, too.
    before, after = ([f"{ours}{side}{i}" for i in range(len(names))] for side, names in (("i", given), ("o", results)))
    try:
        program = _export(module, (*inputs.values(), *states.values()), before, after)
    except Exception as error:  # the exporter raises whatever its many stages raise
        raise GraphError(f"torch could not export {type(module).__name__} for blocks of {block}: {error}") from error
    model = program.model_proto
    model.ir_version = IR_VERSION
    free(model.graph, names_of(model.graph) & {*given, *results})
    rename(model.graph, dict(zip([*before, *after], [*given, *results], strict=True)))
    name_nodes(model)
    drop_notes(model)
    return model


def _result_names(module: StreamingModule) -> list[str]:
    return [*module.outputs, *(next_name(state) for state in module.zero_states())]


def _export(module: StreamingModule, arguments: tuple, names: list[str], results: list[str]) -> Any:
    """torch's exporter, without its chatter."""
    for chatterbox in ("torch.onnx._internal.exporter", "onnx_ir"):
        logging.getLogger(chatterbox).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return torch.onnx.export(
            module,
            arguments,
            input_names=names,
            output_names=results,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
