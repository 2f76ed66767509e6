"""Where things lie: the project, and the vectors and recordings that tests compare with."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
