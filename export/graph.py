"""Trace a streaming module into an ONNX graph for one block size, and make the graph explain itself."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from typing import Any

import onnx
import torch

from .errors import ExportError, GraphError
from .streaming import StreamingModule

OPSET = 18
IR_VERSION = 9  # with opset 18 it loads in every ONNX Runtime from 1.16 on; onnx's own default does not


def frames_per_block(module: StreamingModule, block: int) -> int:
    """`block` samples in frames; `ExportError` unless it is a whole number of hops."""
    if block < 1 or block % module.hop:
        near = max(1, round(block / module.hop)) * module.hop
        raise ExportError(
            f"a block of {block} samples is not a whole number of hops of {module.hop}: try {near}, or any multiple"
        )
    return block // module.hop


def next_name(state: str) -> str:
    """What a state is called on its way out of the graph."""
    return f"{state}_next"


def trace(module: StreamingModule, block: int) -> onnx.ModelProto:
    """The graph that computes one block of `block` samples; shapes are fixed.

    A dynamic time axis would be frozen by the exporter inside the GRU anyway, silently.
    """
    inputs = module.example(frames_per_block(module, block))
    states = module.zero_states()
    try:
        program = _export(module, (*inputs.values(), *states.values()), [*inputs, *states], _result_names(module))
    except Exception as error:  # the exporter raises whatever its many stages raise
        raise GraphError(f"torch could not export {type(module).__name__} for blocks of {block}: {error}") from error
    return _clean(program.model_proto)


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


def _clean(model: onnx.ModelProto) -> onnx.ModelProto:
    """Pin the versions and drop what the exporter noted of the machine it ran on (stack traces, paths)."""
    model.ir_version = IR_VERSION
    for node in model.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    return model


def stamp(model: onnx.ModelProto, module: StreamingModule, name: str, block: int) -> None:
    """Write into the graph's own metadata what a player must know, so that a bare graph still explains itself."""
    states = {state: next_name(state) for state in module.zero_states()}
    facts = {
        "name": name,
        "sample_rate": module.sample_rate,
        "hop": module.hop,
        "block": block,
        "latency": module.latency,
        "states": json.dumps(states),
    }
    model.producer_name = "tonearm"
    for key, value in facts.items():
        model.metadata_props.add(key=f"tonearm.{key}", value=str(value))
