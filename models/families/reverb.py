"""The learned reverb of all three families, as a streaming, zero-latency convolution with every tap.

Partitioned convolution in the frequency domain: the impulse response is cut into pieces of one hop, each as
its spectrum; each frame's spectrum is computed once, kept as state, and meets every piece. That is a twelfth
of the direct form's arithmetic. DFTs are products with a matrix: at this size that is the fastest way in ONNX
Runtime.

The sum over pieces has two forms. For fewer than `CHUNK` frames it is one product of whole rows and one sum. For more
it is a matrix product for each frequency, which makes `CHUNK` frames of each pass over the pieces. On the virtual
Cortex-A72 a step of the wavetable student takes 1.86 million instructions with the first and 1.66 with the second for
4 frames, 19.3 and 8.8 for 64. As a grouped convolution, with its thin products, the first took ten times as many.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...export.streaming import Signals
from .stateful import Stateful

CHUNK = 4
SEGMENT = 64  # frames at once: bounds the memory of a long clip


def real_dft(size: int) -> tuple[Tensor, Tensor]:
    """The matrices of the real DFT and of its inverse, float64.

    Returns:
        `(size, 2 * bins)` and `(2 * bins, size)`, with `bins = size // 2 + 1`, real and imaginary parts interleaved.
    """
    spectra = np.fft.rfft(np.eye(size))
    forward = np.stack([spectra.real, spectra.imag], -1).reshape(size, -1)
    bins = np.eye(size // 2 + 1)
    inverse = np.stack([np.fft.irfft(bins, size), np.fft.irfft(1j * bins, size)], 1).reshape(-1, size)
    return torch.from_numpy(forward), torch.from_numpy(inverse)


class Reverb(Stateful):
    """`ir[n] = noise[n] * exp(-softplus(-decay) * 500 n / rate) * sigmoid(wet)`, `ir[0] = 1`.

    Parameters are laid out as published (`noise (taps, 1)`, `decay`, `wet`, and the buffer `t`).
    """

    t: Tensor
    forward_dft: Tensor
    inverse_dft: Tensor

    def __init__(self, sample_rate: int, hop: int, reverb_scale: int = 1) -> None:
        super().__init__()
        self.hop = hop
        self.taps = int(sample_rate / reverb_scale)
        self.pieces = -(-self.taps // hop)
        self.noise = nn.Parameter(torch.rand(self.taps, 1) * 2 - 1)
        self.decay = nn.Parameter(torch.tensor(5.0))
        self.wet = nn.Parameter(torch.tensor(0.0))
        self.register_buffer("t", (torch.arange(self.taps) / sample_rate).reshape(1, -1, 1))
        forward_dft, inverse_dft = real_dft(2 * hop)
        self.register_buffer("forward_dft", forward_dft.float(), persistent=False)
        self.register_buffer("inverse_dft", inverse_dft[:, hop:].float(), persistent=False)

    def impulse_response(self) -> Tensor:
        """`(taps,)`."""
        decay = torch.exp(-functional.softplus(-self.decay) * self.t[0, :, 0] * 500)
        wet = self.noise[:, 0] * decay * torch.sigmoid(self.wet)
        return torch.cat([torch.ones_like(wet[:1]), wet[1:]])

    def zero_states(self, batch: int) -> Signals:
        """The last frame of input, and the spectra of all frames that still sound, oldest first, each twice."""
        return {
            "reverb_input": torch.zeros(batch, 1, self.hop),
            "reverb_spectra": torch.zeros(batch, self.pieces - 1, 4 * (self.hop + 1)),
        }

    def _pieces(self) -> Tensor:
        """Spectra of the impulse response's pieces `(pieces, bins, 2)`, in the order of the frames they meet."""
        padded = functional.pad(self.impulse_response(), (0, self.pieces * self.hop - self.taps))
        spectra = padded.reshape(self.pieces, self.hop) @ self.forward_dft[: self.hop]
        return spectra.flip(0).reshape(self.pieces, -1, 2)

    def _multiplied(self, spectra: Tensor, frames: int) -> Tensor:
        """The wet frames as one product and one sum each.

        A row holds its spectrum twice: once to meet the real parts of the piece, once the imaginary ones. What
        the latter give belongs to the other part, so the inverse DFT takes them with its rows swapped, and
        nothing is broadcast or shuffled in between. The sum is a product with ones: ONNX Runtime's own is slower.
        """
        real, imaginary = self._pieces().repeat_interleave(2, 1).unbind(2)
        kernel = torch.cat([real, imaginary], 1)
        ones = torch.ones(1, self.pieces, device=kernel.device)
        rows = self.inverse_dft.reshape(-1, 2, self.hop)
        swapped = torch.stack([rows[:, 1], -rows[:, 0]], 1)
        inverse = torch.cat([rows.flatten(0, 1), swapped.flatten(0, 1)])
        sums = [ones @ (spectra[:, t : t + self.pieces] * kernel) for t in range(frames)]
        return torch.cat(sums, 1) @ inverse

    def _chunked(self, spectra: Tensor, frames: int) -> Tensor:
        """The wet frames, `CHUNK` at a time: a product of matrices for each frequency.

        ```
        spectra     s0 s1 s2 s3 s4 ...          a chunk's window, all frames that its first or last frame meets
        frame 0     k0 k1 k2 ... 0  0           as a matrix with a column for each frame of the chunk, each a step
        frame 1     0  k0 k1 k2 ... 0           further: real and imaginary parts are rows and columns of their own
        ```
        """
        shifted, reach = self._shifted(), self.pieces - 1
        starts = range(0, frames, SEGMENT)
        segments = [spectra[:, start : min(start + SEGMENT, frames) + reach] for start in starts]
        return torch.cat([self._segment(segment, shifted) for segment in segments], 1)

    def _segment(self, spectra: Tensor, shifted: Tensor) -> Tensor:
        frames = spectra.shape[1] - self.pieces + 1
        chunks = -(-frames // CHUNK)
        once = functional.pad(spectra[:, :, : self.inverse_dft.shape[0]], (0, 0, 0, chunks * CHUNK - frames))
        by_bin = once.unflatten(2, (-1, 2)).transpose(1, 2)
        length = self.pieces + CHUNK - 1
        windows = torch.stack([by_bin[:, :, CHUNK * c : CHUNK * c + length] for c in range(chunks)], 2).flatten(3)
        sums = (windows @ shifted).reshape(spectra.shape[0], self.hop + 1, chunks * CHUNK, 2)
        return sums.transpose(1, 2).flatten(2)[:, :frames] @ self.inverse_dft

    def _shifted(self) -> Tensor:
        """The pieces' spectra as the matrices of `_chunked`, `(bins, 2 * (pieces + CHUNK - 1), 2 * CHUNK)`."""
        real, imaginary = self._pieces().transpose(0, 1).unbind(2)
        complexes = torch.stack([real, imaginary, -imaginary, real], 2).reshape(*real.shape, 2, 2)
        shifted = [functional.pad(complexes, (0, 0, 0, 0, by, CHUNK - 1 - by)) for by in range(CHUNK)]
        return torch.stack(shifted, 3).reshape(self.hop + 1, -1, 2 * CHUNK)

    def forward(self, dry: Tensor, states: Signals) -> tuple[Tensor, Signals]:
        """`dry` and the result are `(batch, frames, hop)`.

        ```
        frame t-1 | frame t      2 hops through the DFT (overlap-save): the second half
        ----------+--------      of the inverse is free of wrap-around and is the output
        ```
        """
        frames = dry.shape[1]
        delayed = torch.cat([states["reverb_input"], dry], 1)
        windows = torch.cat([delayed[:, :-1], dry], 2)
        spectra = torch.cat([states["reverb_spectra"], windows @ self.forward_dft.repeat(1, 2)], 1)
        wet = self._multiplied(spectra, frames) if frames < CHUNK else self._chunked(spectra, frames)
        return wet, {"reverb_input": delayed[:, -1:], "reverb_spectra": spectra[:, frames:]}
