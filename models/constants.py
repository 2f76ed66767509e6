"""What models and the analysis of recordings have in common: the sample rate, the hop, the quietest loudness."""

SAMPLE_RATE = 16_000  # Hz
HOP = 64  # samples of a frame: 250 frames a second
FLOOR_DB = -80.0  # the loudness of silence, in dB
