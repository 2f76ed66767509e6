#!/usr/bin/env bash
# pandas 3.1.1: a text with a carriage return is written to CSV without quotes, and read back as two rows.
#
# RFC 4180 has fields that contain a line break, CR or LF, in quotes. A line feed is quoted, a carriage return alone is not;
# pandas itself and Python's csv module take it for the end of the row.
#
# Output seen:
#   pandas 3.1.1
#   'text,number\na\rb,1\n'
#   1 row written, 2 rows read
#
# Exit status 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import io
import sys

import pandas

print("pandas", pandas.__version__)
text = pandas.DataFrame({"text": ["a\rb"], "number": [1]}).to_csv(index=False)
rows = len(pandas.read_csv(io.StringIO(text, newline="")))
print(repr(text))
print(f"1 row written, {rows} rows read")
if rows != 2:
    sys.exit("changed: a carriage return is in quotes")
PYTHON
