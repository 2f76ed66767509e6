"""Constants of the models and of the analysis of recordings: sample rate, hop, quietest loudness."""

SAMPLE_RATE = 16_000  # Hz
HOP = 64  # samples of a frame: 250 frames a second
FLOOR_DB = -80.0  # the loudness of silence, in dB
