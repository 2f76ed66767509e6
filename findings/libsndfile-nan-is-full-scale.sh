#!/usr/bin/env bash
# libsndfile 1.2.2 (soundfile 0.14.0): a NaN that is written as PCM becomes full scale, without a word.
#
# Infinity is clipped to full scale, as all that is too loud is. A NaN, which is no loudness at all, becomes the lowest
# number, -1.0: a model that yields NaN for a few milliseconds is a bang at full scale in the file. In a FLOAT file it stays
# a NaN.
#
# Output seen:
#   soundfile 0.14.0, libsndfile 1.2.2
#   PCM_16 [0.25, -1.0, 0.25]
#   PCM_24 [0.25, -1.0, 0.25]
#   FLOAT [0.25, nan, 0.25]
#
# Exit status 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys

import numpy as np
import soundfile

print(f"soundfile {soundfile.__version__}, libsndfile {soundfile.__libsndfile_version__}")
read = {}
for subtype in ("PCM_16", "PCM_24", "FLOAT"):
    soundfile.write("sound.wav", np.array([0.25, np.nan, 0.25], np.float32), 16000, subtype=subtype)
    read[subtype] = soundfile.read("sound.wav")[0].tolist()
    print(subtype, read[subtype])
if read["PCM_16"][1] != -1 or read["PCM_24"][1] != -1:
    sys.exit("changed: a NaN is not full scale any more")
PYTHON
