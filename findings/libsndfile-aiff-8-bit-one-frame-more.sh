#!/usr/bin/env bash
# libsndfile 1.2.2 (soundfile 0.14.0): an AIFF of 8 bits with an odd number of frames is written as one frame longer.
#
# A chunk of odd length is padded by a byte, which does not belong to it. The byte is counted here: in the length of the SSND
# chunk and in the number of frames that the COMM chunk declares. What is read back has one frame more. Unsigned, the byte is
# no silence but full scale, a click at the very end. WAV files of 8 bits are not concerned.
#
# Output seen:
#   soundfile 0.14.0, libsndfile 1.2.2
#   AIFF PCM_S8: 5 frames written, COMM declares 6, read [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
#   AIFF PCM_U8: 5 frames written, COMM declares 6, read [0.0, 0.0, 0.0, 0.0, 0.0, -1.0]
#   WAV PCM_U8: 5 frames written, 5 read
#
# Exit status 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import struct
import sys
from pathlib import Path

import numpy as np
import soundfile

FRAMES = 5
print(f"soundfile {soundfile.__version__}, libsndfile {soundfile.__libsndfile_version__}")
read = {}
for subtype in ("PCM_S8", "PCM_U8"):
    soundfile.write("sound.aiff", np.zeros(FRAMES), 16000, subtype=subtype)
    content = Path("sound.aiff").read_bytes()
    start = content.index(b"COMM") + 10  # behind the chunk's name, its length and the number of channels
    (declared,) = struct.unpack(">I", content[start : start + 4])
    read[subtype] = soundfile.read("sound.aiff")[0].tolist()
    print(f"AIFF {subtype}: {FRAMES} frames written, COMM declares {declared}, read {read[subtype]}")
soundfile.write("sound.wav", np.zeros(FRAMES), 16000, subtype="PCM_U8")
print(f"WAV PCM_U8: {FRAMES} frames written, {len(soundfile.read('sound.wav')[0])} read")
if read != {"PCM_S8": [0.0] * 6, "PCM_U8": [0.0] * 5 + [-1.0]}:
    sys.exit("changed: as many frames are read as were written")
PYTHON
