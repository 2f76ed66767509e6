"""Values of a graph by their names: find and rename them, wherever in the graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx


def nested(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and those inside its nodes (the branches of an If, the body of a Loop)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inside in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from nested(inside)


def names_of(graph: onnx.GraphProto) -> set[str]:
    """The names of all values, wherever in the graph."""
    names = set()
    for part in nested(graph):
        names |= {value.name for value in (*part.input, *part.output, *part.value_info, *part.initializer)}
        names |= {name for node in part.node for name in (*node.input, *node.output)}
    return names


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Give values other names, wherever in the graph."""
    for part in nested(graph):
        for value in (*part.input, *part.output, *part.value_info, *part.initializer):
            value.name = names.get(value.name, value.name)
        for sparse in part.sparse_initializer:
            sparse.values.name = names.get(sparse.values.name, sparse.values.name)
        for node in part.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]


def free(graph: onnx.GraphProto, wanted: set[str]) -> dict[str, str]:
    """Rename the values that have the `wanted` names; their new names."""
    taken = names_of(graph) | wanted
    names = {}
    for name in sorted(wanted):
        new = f"{name}_inside"
        while any(name.startswith(new) for name in taken):
            new += "_"
        taken.add(new)
        names[name] = new
    rename(graph, names)
    return names
