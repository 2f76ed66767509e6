"""Guesses about a graph made elsewhere, from names and shapes: its states, and how much audio a call takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ForeignError

# What a state is called beyond its own name: on its way in, and on its way out.
BEFORE = frozenset({"in", "input", "i", "0", "prev", "previous", "old", "last", "past", "init", "initial"})
AFTER = frozenset({"out", "output", "o", "next", "new", "n", "updated", "present", "cur", "current"})
# These say so on their own; `audio_in` and `audio_out` may as well be what is played and heard.
CERTAIN = frozenset({"prev", "previous", "old", "last", "past", "next"})
SOUND = frozenset({"in", "out", "input", "output", "audio", "signal", "sound", "wave", "wav", "waveform", "sample"}) | {
    *("samples", "frame", "frames", "block", "speech", "mic", "noisy", "clean", "enhanced", "enh", "mix", "mixture"),
    *("spec", "spectrum", "spectrogram", "stft", "mel", "feat", "feats", "features", "control", "controls", "x", "y"),
}
MEMORY = frozenset({"state", "states", "cache", "caches", "buffer", "buf", "memory", "mem", "hidden", "h", "c"}) | {
    *("cell", "gru", "lstm", "rnn", "context", "ctx", "history", "hist"),
}


@dataclass(frozen=True)
class Tensor:
    """An input or output of a graph, its shape fixed."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Its number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __str__(self) -> str:
        return f"{self.name} {self.shape}" + ("" if self.dtype == "float32" else f" {self.dtype}")

    def fits(self, other: Tensor) -> bool:
        """Whether one can take the place of the other."""
        return (self.dtype, self.shape) == (other.dtype, other.shape)


def guess_states(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> dict[str, str]:
    """The outputs that come back as inputs of the next call, told by name, type and shape.

    Returns:
        The name of an output by the name of an input; none where nothing looks like a state.

    Raises:
        ForeignError: more than one reading makes sense; the message has the candidates and the option to give.
    """
    found = {one.name: [o.name for o in outputs if one.fits(o) and correspond(one.name, o.name)] for one in inputs}
    found = {name: names for name, names in found.items() if names}
    taken = [name for names in found.values() for name in names]
    if any(len(names) > 1 for names in found.values()) or len(set(taken)) < len(taken):
        raise _unclear(found)
    left = [one for one in inputs if one.name not in found]
    free = [o for o in outputs if o.name not in taken]
    if found and not (left and free):
        raise _unclear(found, "; but then nothing is left to play, or nothing to hear")
    alike = {one.name: [o.name for o in free if one.fits(o)] for one in left}
    alike = {name: names for name, names in alike.items() if names}
    heard = all(_is_sound(_words(name)) or any(_is_sound(_words(o)) for o in names) for name, names in alike.items())
    if len(left) > 1 and (len(alike) > 1 or not heard):
        candidates = found | alike
        raise _unclear(candidates, played=left[0].name if len(candidates) == len(inputs) else "")
    return {name: names[0] for name, names in found.items()}


def _unclear(found: Mapping[str, Sequence[str]], but: str = "", played: str = "") -> ForeignError:
    """Which states could be which, and the option that says so; `played` is rather no state."""
    seen = ", ".join(f"{name} -> {' or '.join(names)}" for name, names in found.items())
    example: dict[str, str] = {}
    for name, names in ((name, names) for name, names in found.items() if name != played):
        example[name] = next((other for other in names if other not in example.values()), names[0])
    option = " ".join(f"{name}={other}" for name, other in example.items())
    return ForeignError(
        f"which tensors are states is not clear from names and shapes: perhaps {seen}{but}. "
        f"Name them all, for example --state {option} (or --state none)"
    )


def correspond(before: str, after: str) -> bool:
    """Whether an input and an output, by their names, are one state before and after a call: `h` and `hn`."""
    stems = _stems(_words(before), BEFORE) & _stems(_words(after), AFTER)
    certain = CERTAIN & {*_words(before), *_words(after)}
    return bool(stems) and (bool(certain) or not any(_is_sound(stem) for stem in stems))


def _is_sound(words: tuple[str, ...]) -> bool:
    return bool(SOUND & set(words)) and not MEMORY & set(words)


def _words(name: str) -> tuple[str, ...]:
    """`newCache_2` as `new cache 2`."""
    return tuple(word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name))


def _stems(words: tuple[str, ...], marks: frozenset[str]) -> set[tuple[str, ...]]:
    """What is left of a name without the marks at its ends; `hn` may be `h` with a mark, too."""
    names = [words]
    if words and len(words[-1]) == 2 and words[-1][1] in marks:
        names.append((*words[:-1], *words[-1]))
    stems = {words}
    for name in names:
        short = name[:-1] if name and name[-1] in marks else name
        stems |= {short, *(stem[1:] for stem in (name, short) if stem and stem[0] in marks)}
    return stems - {()}


def guess_hop(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> int:
    """Samples a call takes, told by the sizes of the signals; `ForeignError` where they don't tell.

    A block of audio lies along one axis; what has more (spectra, channels) is no count of samples.
    """
    sizes = {one.size for one in inputs}
    hops = sizes if len(sizes) == 1 else sizes & {one.size for one in outputs} - {1}
    (hop,) = hops if len(hops) == 1 else (0,)
    blocks = [one for one in inputs if one.size == hop]
    controls = hop == 1 and any(one.size > 1 for one in outputs)
    spectrum = hop > 32 and (hop - 1) & (hop - 2) == 0  # 2 ** n + 1 bins
    if not hop or controls or spectrum or any(sum(size > 1 for size in one.shape) > 1 for one in blocks):
        raise ForeignError(
            f"how many samples a call takes is not clear from {', '.join(map(str, inputs))} to "
            f"{', '.join(map(str, outputs))}: say it, for example --hop 256"
        )
    return hop
