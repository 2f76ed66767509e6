"""Names of nodes that say which module they come from: `PATH/NAME`, as in `decoder.out_mlp.3/linear_7`.

They are what is left of a module in a profile: ONNX Runtime keeps the beginning of a node's name when it fuses it.
"""

from __future__ import annotations

import ast

import onnx

HERE = "."  # the path of what no module inside the model computes
SCOPES = "pkg.torch.onnx.name_scopes"  # torch's note of the modules around a node, outermost first, then its own name


def name_nodes(model: onnx.ModelProto) -> None:
    """Give every node of a traced graph a name that begins with its module's path.

    A node that a tool has put in without saying what for belongs to where its first input comes from.
    """
    paths: dict[str, str] = {}
    for index, node in enumerate(model.graph.node):
        path, _, name = node.name.rpartition("/")
        path = path or _noted(node) or next((paths[value] for value in node.input if value in paths), HERE)
        node.name = f"{path}/{name.removeprefix('node_') or f'{node.op_type}_{index}'}"
        paths |= dict.fromkeys(node.output, path)


def _noted(node: onnx.NodeProto) -> str:
    """The module's path as torch's exporter has noted it; nothing where it has not."""
    for entry in node.metadata_props:
        if entry.key == SCOPES:
            modules = [scope for scope in ast.literal_eval(entry.value)[:-1] if scope]
            return modules[-1] if modules else HERE
    return ""
