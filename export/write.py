"""Make a bundle: trace, simplify, stamp, write, verify; it appears in its place whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ..runtime.bundle import PLAIN, Bundle, Provenance, is_plain, next_name, read_bundle
from ..runtime.clip import padded_frames
from ..runtime.names import shown, wrong_names
from ..runtime.progress import Progress, unwatched
from .assemble import IR_VERSION, VERIFY_BLOCKS, origin_facts, write_files
from .errors import ExportError
from .folder import check_folder, replacing
from .graph import OPSET, frames_per_block, trace
from .names import name_nodes, owners
from .precision import precision_facts
from .probe import example_of
from .prove import verify
from .simplify import Simplifier, onnxsim_simplify, simplify
from .streaming import StreamingModule, render

GOLDEN_FRAMES = 512


@dataclass(frozen=True)
class Export:
    """A bundle, the greatest error of its graphs against PyTorch, and why it is not simplified (or "")."""

    bundle: Bundle
    error: float
    unsimplified: str


def export_bundle(
    module: StreamingModule,
    name: str,
    folder: Path,
    blocks: Sequence[int],
    *,
    weights: Provenance,
    source: str = "",
    progress: Progress = unwatched,
    simplifier: Simplifier = onnxsim_simplify,
) -> Export:
    """Export `module` as a bundle in `folder`, replacing what is there only once the new one is verified.

    Args:
        module: the trained model.
        name: the bundle's name.
        folder: where the bundle goes.
        blocks: samples per call, one graph each.
        weights: where the weights come from; `Provenance(text)` is enough.
        source: a key of all that went in, by which a caller knows whether to export again.
        progress: called with what is being done, and how much of how much is done.
        simplifier: serialized graph to serialized graph.

    Raises:
        ExportError: for a block that is no whole number of hops, a name that can't be borne, and when tracing fails.
        VerifyError: naming the first block and output that differ from PyTorch.
    """
    blocks = _checked_blocks(module, blocks)
    check_names(module, name)
    check_folder(folder)
    total = 2 * len(blocks) + 1
    traced = {}
    for index, block in enumerate(blocks):
        progress(f"trace {name}, blocks of {block}", index, total)
        traced[block] = trace(module, block)
    progress(f"simplify {name}", len(blocks), total)
    graphs, unsimplified = simplify(traced, simplifier)
    for block, graph in graphs.items():
        name_nodes(graph, owners(traced[block]))  # also what the simplifier has put in
    facts = _facts(module, name, blocks, weights=weights, source=source)
    golden = _golden(module, max(blocks) // module.hop)

    def write(new: Path, graphs: dict[int, onnx.ModelProto], unsimplified: str) -> float:
        def verified(index: int, block: int) -> None:
            progress(f"verify {name}, blocks of {block}", len(blocks) + 1 + index, total)

        return _write(new, module, graphs, golden, facts | {"unsimplified": unsimplified}, verified)

    with replacing(folder) as new:
        try:
            error = write(new, graphs, unsimplified)
        except ExportError as problem:
            if unsimplified:
                raise
            unsimplified = f"the simplifier changed the result: {problem}"
            error = write(new, traced, unsimplified)
    progress(f"exported {name}", total, total)
    return Export(read_bundle(folder), error, unsimplified)


def _checked_blocks(module: StreamingModule, blocks: Sequence[int]) -> list[int]:
    if not blocks:
        raise ExportError("no block sizes given: name at least one, for example 64")
    for block in blocks:
        frames_per_block(module, block)
    return sorted(set(blocks))


def check_names(module: StreamingModule, name: str) -> None:
    """`ExportError` where the bundle, or an input, output or state of the module, can't bear its name."""
    if not is_plain(name):
        raise ExportError(f"{name[:60]!r} can't be a bundle's name: {PLAIN}")
    states = list(module.zero_states())
    for wrong, reason in wrong_names([*module.inputs, *module.outputs, *states, *map(next_name, states)]):
        raise ExportError(f"no tensor can be called {shown(wrong)}, which {reason}: give it another name")


def _golden(module: StreamingModule, block_frames: int) -> dict[str, np.ndarray]:
    """The model's example clip and PyTorch's offline render of it, long enough for `VERIFY_BLOCKS` blocks.

    `ExportError` where an output stays one value: any graph that keeps silent would compute the same.
    """
    frames = max(VERIFY_BLOCKS * block_frames, GOLDEN_FRAMES)
    inputs = example_of(module, padded_frames(frames, module.hop, module.latency))
    outputs = {name: value[0] for name, value in render(module, inputs).items()}
    for name, value in outputs.items():
        if bool((value == value[0]).all()):
            raise ExportError(
                f"output {name} is {float(value[0]):.6g} throughout the example, so nothing can be verified with it: "
                "make example() give inputs that excite it, and long enough"
            )
    return {name: value.numpy() for name, value in {**inputs, **outputs}.items()}


def _facts(
    module: StreamingModule, name: str, blocks: Sequence[int], *, weights: Provenance, source: str
) -> dict[str, Any]:
    noise = [signal for signal in module.inputs if signal in module.noise]
    states = module.zero_states()
    packages = ("tonearm", "torch", "onnx", "onnxsim", "onnxscript", "onnxruntime")
    return (
        origin_facts(name, weights, source, blocks, packages)
        | precision_facts()
        | {
            "sample_rate": module.sample_rate,
            "hop": module.hop,
            "latency": module.latency,
            "inputs": [{"name": s, "width": width, "noise": s in noise} for s, width in module.inputs.items()],
            "outputs": [{"name": s, "width": width} for s, width in module.outputs.items()],
            "states": [
                {"name": s, "shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
                for s, value in states.items()
            ],
            "parameters": module.parameters_by_part(),
            "opset": OPSET,
            "ir_version": IR_VERSION,
        }
    )


def _write(
    folder: Path,
    module: StreamingModule,
    graphs: dict[int, onnx.ModelProto],
    golden: dict[str, np.ndarray],
    facts: dict[str, Any],
    on_verify: Callable[[int, int], None],
) -> float:
    """Write everything into a fresh `folder` and verify it there; the greatest error, of full scale."""
    copies = {block: onnx.ModelProto.FromString(graph.SerializeToString()) for block, graph in graphs.items()}
    shipped = _cut(golden, module, _shipped_frames(module, max(graphs) // module.hop))
    return _verify(write_files(folder, copies, shipped, facts), golden, on_verify)


def _shipped_frames(module: StreamingModule, block_frames: int) -> int:
    """Frames of the golden clip that travels: two blocks of every graph, so that the states count, and the latency."""
    return padded_frames(max(GOLDEN_FRAMES, 2 * block_frames + 1), module.hop, module.latency)


def _cut(golden: dict[str, np.ndarray], module: StreamingModule, frames: int) -> dict[str, np.ndarray]:
    """The first `frames` frames, rendered anew: the end of a clip is held, so it is no prefix of a longer one."""
    import torch

    inputs = {name: torch.from_numpy(golden[name][:, :frames].copy()) for name in module.inputs}
    outputs = {name: value[0] for name, value in render(module, inputs).items()}
    return {name: value.numpy() for name, value in {**inputs, **outputs}.items()}


def _verify(bundle: Bundle, golden: dict[str, np.ndarray], on_verify: Callable[[int, int], None]) -> float:
    """Stream at least `VERIFY_BLOCKS` blocks through every graph, exactly as a board does, against PyTorch."""
    frames: dict[int, int | None] = {
        block: max(VERIFY_BLOCKS * block // bundle.hop, GOLDEN_FRAMES) for block in bundle.graphs
    }
    return verify(bundle, golden, "PyTorch", frames, progress=lambda block, done, total: on_verify(done, int(block)))
