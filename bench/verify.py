"""The chain from the original implementation to the board, link by link, for one model or all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..models.catalogue import load
from ..runtime.bundle import Bundle, read_bundle
from ..runtime.clip import align, hold_last, read_arrays
from ..runtime.parity import TOLERANCE
from ..runtime.progress import Progress, unwatched
from ..runtime.stream import Stream
from .bundles import export_model, needing_extra
from .errors import BenchError
from .fidelity import Difference, difference
from .output.tables import Table, markdown
from .render import render_on

if TYPE_CHECKING:
    from ..models.families.family import Family

FRAMES = 300
BLOCKS = (64, 1024)  # samples: the reverb has one form for short blocks and one for long ones
PARTITION = (1, 3, 1, 16, 2, 5, 40, 4)  # frames, again and again


@dataclass(frozen=True)
class Chain:
    """A model's links, each compared with `truth`; None where there is nothing to compare with."""

    model: str
    truth: str
    links: dict[str, Difference | None]

    def worst(self) -> float:
        """The greatest error of all links."""
        return max(link.error for link in self.links.values() if link)


def verify(model: str, boards: Sequence[str], golden: Path, progress: Progress) -> Chain:
    """Every link of a model's chain: offline, streamed, ONNX Runtime here and on each board.

    Args:
        model: its name.
        boards: by name.
        golden: a folder; where it has MODEL.npz and MODEL.pt, they are the original implementation's vectors and
            weights and everything is compared with them; else with the offline render of the weights it comes with,
            or of random ones.
        progress: called with what is being done and how far it is.
    """
    steps = iter(range(3 + len(boards)))

    def tell(text: str) -> None:
        progress(f"{model}: {text}", next(steps), 3 + len(boards))

    tell("offline and streamed in PyTorch")
    vectors, weights = _vectors(model, golden)
    with needing_extra("verifying"):
        module = load(model, weights)
    clip = _clip(module, vectors)
    offline, truth = _offline(module, clip, vectors)
    streamed = difference(truth, _streamed(module, clip)[: len(truth)])
    links: dict[str, Difference | None] = {"offline": offline, "streamed": streamed}
    with tempfile.TemporaryDirectory() as folder:
        tell("ONNX Runtime on this machine")
        bundle, _ = export_model(model, Path(folder) / model, BLOCKS, unwatched, weights)
        links["ONNX, local"] = max(_here(bundle, clip, truth), key=lambda link: link.error)
        for name in boards:
            tell(f"on {name}")
            audio = render_on(name, bundle, clip, unwatched, min(BLOCKS))["audio"]
            links[name] = difference(truth, audio[: len(truth)])
    return Chain(model, "original" if vectors else "offline", links)


def _vectors(model: str, golden: Path) -> tuple[dict[str, np.ndarray], Path | None]:
    path = golden / f"{model}.npz"
    if not path.is_file():
        return {}, None
    return read_arrays(path), path.with_suffix(".pt")


def _clip(module: Family, vectors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Inputs by name, `(1, frames, width)`."""
    from ..models.original import inputs_of

    inputs = inputs_of(module, vectors) if vectors else module.example(FRAMES)
    return {name: value.numpy() for name, value in inputs.items()}


def _offline(
    module: Family, clip: dict[str, np.ndarray], vectors: dict[str, np.ndarray]
) -> tuple[Difference | None, np.ndarray]:
    """How far the worst part is from the original's, if its vectors are there, and the audio that is the truth."""
    import torch

    from ..export.streaming import render
    from ..models.original import offline_parts

    if not vectors:
        return None, render(module, {name: torch.from_numpy(value) for name, value in clip.items()})["audio"][0].numpy()
    parts = offline_parts(module, vectors)
    worst = max((difference(vectors[key], part.numpy()) for key, part in parts.items()), key=lambda link: link.error)
    sure = len(vectors["out.synth_audio"]) - module.latency  # the end of a clip leans on the frame after it
    return worst, vectors["out.synth_audio"][:sure, 0]


def _streamed(module: Family, clip: dict[str, np.ndarray]) -> np.ndarray:
    """The audio in blocks of many sizes, `(samples,)`, the latency taken off."""
    import torch

    from ..export.streaming import stream

    frames = next(iter(clip.values())).shape[1]
    inputs = {name: torch.from_numpy(hold_last(value, frames + 1)) for name, value in clip.items()}
    with torch.no_grad():
        blocks = [outputs["audio"] for outputs in stream(module, inputs, list(_partition(frames + 1)))]
    return align(torch.cat(blocks, 1), module.latency, frames)[0].numpy()


def _partition(frames: int) -> Iterator[int]:
    while frames:
        for size in PARTITION:
            yield min(size, frames)
            frames -= min(size, frames)
            if not frames:
                return


def _here(bundle: Bundle, clip: dict[str, np.ndarray], truth: np.ndarray) -> Iterator[Difference]:
    """Of each block, played in a process of its own, which Ctrl-C ends."""
    from ..export.apart import DEADLINE_SECONDS, ApartError, run_apart

    try:
        played = run_apart(_played, bundle.folder, clip, deadline=DEADLINE_SECONDS)
    except ApartError as error:
        raise BenchError(f"ONNX Runtime {error}, streaming {bundle.name} on this machine") from error
    for audio in played:
        yield difference(truth, audio[: len(truth)])


def _played(folder: Path, clip: dict[str, np.ndarray], progress: Progress) -> list[np.ndarray]:
    bundle = read_bundle(folder)
    return [Stream(bundle, block).render(clip)["audio"] for block in bundle.graphs]


def table(chains: Sequence[Chain]) -> str:
    """As Markdown, which is readable as it is."""
    headings = ["model", "compared with", *chains[0].links]
    rows = [[chain.model, chain.truth, *(str(link or "-") for link in chain.links.values())] for chain in chains]
    return markdown(Table("", headings, rows, texts=headings))


def check(chains: Sequence[Chain]) -> None:
    """`BenchError` names the models with a link that does not hold."""
    broken = [chain.model for chain in chains if not chain.worst() <= TOLERANCE]
    if broken:
        raise BenchError(f"more than {TOLERANCE:g} of full scale apart: {', '.join(broken)}")
