#!/usr/bin/env bash
# pytest 9.2.0 with pytest-xdist 3.8.0: --dist loadgroup has no effect, and says nothing.
#
# Tests of one xdist_group must run in one process. pytest-xdist hands the group on by writing it into a private
# attribute of each test's name, which pytest 9.2 has no more, so that every test is a group of its own: what a group
# was to share is made in every process, and what must not run at once does. The whole of a file still goes to one
# process with --dist loadfile. Known as https://github.com/pytest-dev/pytest-xdist/issues/1386.
#
# Output seen:
#   pytest 9.2.0, pytest-xdist 3.8.0
#   loadgroup: the 12 tests of one group ran in 2 processes
#   loadfile: the 12 tests of one file ran in 1 process
#
# Exit status 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pytest==9.2.0 pytest-xdist==3.8.0
cd "$folder"
cat > test_group.py <<'PYTHON'
import os
import time

import pytest


@pytest.mark.xdist_group("amplifier")
@pytest.mark.parametrize("take", range(12))
def test_take(take):
    time.sleep(0.2)
    with open("workers.txt", "a") as file:
        print(os.environ["PYTEST_XDIST_WORKER"], file=file)
PYTHON
printf '%s\n' '[pytest]' > pytest.ini
venv/bin/python -c 'import pytest, xdist; print(f"pytest {pytest.__version__}, pytest-xdist {xdist.__version__}")'
processes() {
    rm -f workers.txt
    venv/bin/pytest --quiet -p no:cacheprovider --numprocesses 2 --dist "$1" > output.txt
    [ "$(wc -l < workers.txt)" = 12 ]
    sort -u workers.txt | wc -l
}
by_group=$(processes loadgroup)
echo "loadgroup: the 12 tests of one group ran in $by_group processes"
by_file=$(processes loadfile)
echo "loadfile: the 12 tests of one file ran in $by_file process"
[ "$by_group" = 2 ] && [ "$by_file" = 1 ] || { echo "changed: groups are kept together, or files are not"; exit 1; }
