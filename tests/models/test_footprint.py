"""The kept figures of the models are those of the models, and reading them takes no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tonearm.models.catalogue import MODELS
from tonearm.models.footprint import read_footprints, weigh

HEAVY = {"torch", "librosa", "safetensors", "soundfile"}


def test_every_model_that_can_be_named_has_its_figures_kept() -> None:
    assert list(read_footprints()) == list(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_the_kept_figures_are_the_models(name: str) -> None:
    assert read_footprints()[name] == weigh(name), "weigh the models again: python -m tonearm.models.footprint"


def test_the_catalogue_the_cards_and_the_figures_are_read_without_what_training_needs() -> None:
    code = (
        "import sys\n"
        "from tonearm.models import catalogue, footprint\nfrom tonearm.models.training import cards\n"
        "footprint.read_footprints()\n"
        "[cards.read_card(m.checkpoint.with_suffix('.json')) for m in catalogue.TRAINED.values()]\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {*HEAVY, "numpy", "onnxruntime"} & {*loaded}
