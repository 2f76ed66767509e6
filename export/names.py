"""Names of nodes that say which module they come from: `PATH/NAME`, as in `decoder.out_mlp.3/linear_7`.

They are what is left of a module in a profile: ONNX Runtime keeps the beginning of a node's name when it fuses it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

import onnx

HERE = "."  # the path of what no module inside the model computes
SCOPES = "pkg.torch.onnx.name_scopes"  # torch's note of the modules around a node, outermost first, then its own name


def name_nodes(model: onnx.ModelProto, owners: Mapping[str, str] | None = None) -> None:
    """Give every node a name that begins with its module's path.

    A node that a tool has put in without saying what for belongs to the module that gave its result before, else to
    that of its weights, else to that of its first input.

    Args:
        model: fresh from torch's exporter, with its notes, or simplified.
        owners: of the same graph before it was simplified.
    """
    paths: dict[str, str] = {}
    owners, weights = owners or {}, {tensor.name for tensor in model.graph.initializer}
    for index, node in enumerate(model.graph.node):
        path, _, name = node.name.rpartition("/")
        known = [owners.get(value) for value in (*node.output, *(value for value in node.input if value in weights))]
        known += [paths.get(value) for value in node.input]
        path = path or _noted(node) or next(filter(None, known), HERE)
        node.name = f"{path}/{name.removeprefix('node_') or f'{node.op_type}_{index}'}"
        paths |= dict.fromkeys(node.output, path)


def owners(model: onnx.ModelProto) -> dict[str, str]:
    """The path of the module that gives a value, or that is the only one to use a weight, by the value's name."""
    users: dict[str, set[str]] = {tensor.name: set() for tensor in model.graph.initializer}
    given = {}
    for node in model.graph.node:
        path = node.name.rpartition("/")[0]
        given |= dict.fromkeys(node.output, path)
        for value in users.keys() & set(node.input):
            users[value].add(path)
    return given | {value: next(iter(paths)) for value, paths in users.items() if len(paths) == 1}


def _noted(node: onnx.NodeProto) -> str:
    """The module's path as torch's exporter has noted it; nothing where it has not."""
    for entry in node.metadata_props:
        if entry.key == SCOPES:
            modules = [scope for scope in ast.literal_eval(entry.value)[:-1] if scope]
            return modules[-1] if modules else HERE
    return ""
