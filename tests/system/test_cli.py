"""The command line as a person uses it: real boards, one line for each mistake, and a few processes of their own."""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import onnxruntime
import places
import pytest
import soundfile
import torch
from commands import SECONDS, process, program, tonearm
from made_results import entry, samples
from tonearm.bench.results.store import append
from tonearm.device.loopback import serve
from tonearm.export.foreign.convert import import_graph
from tonearm.models.catalogue import MODELS, TRAINED
from tonearm.runtime.bundle import Bundle
from tonearm.runtime.clip import read_arrays

GOLDEN = places.GOLDEN / "hpn-reduced.npz"
SWEEP = ["sweep", "--board", "loopback", "--models", "hpn-reduced"]
NOTHING = [[*SWEEP, "--steps", "0"], [*SWEEP, "--steps", "-1"], [*SWEEP, "--threads", "0"]]
UNCLEAR = [["sweep"], [*SWEEP, "--steps", "1", "--seconds", "1"], [*SWEEP, "--smallest-block", "--modes", "burst"]]
TWICE = [[*SWEEP, "--board", "loopback"], ["deploy", "hpn-reduced", "--board", "virtual", "loopback", "virtual"]]
MISSPELT = (["--state", "h"], ["--dim", "batch=0"], ["--set", "=1"], ["--latency", "-1"], ["--hop", "0"])
IMPORT = [["import", "amp.onnx"], *(["import", "amp.onnx", "--sample-rate", "1", *rest] for rest in MISSPELT)]
COMMANDS = (
    "models",
    "export",
    "convert",
    "import",
    "verify",
    "train",
    "distill",
    "deploy",
    "render",
    "sweep",
    "report",
    "compare",
    "gate",
    "results",
    "board",
    "demo",
    "completion",
)


@pytest.fixture(autouse=True)
def here(own_place: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def complaint(*arguments: object, run: Callable[..., CompletedProcess[str]] = tonearm) -> str:
    """What a command that can't be fulfilled says: one line, the last, and no traceback."""
    lines = run(*arguments, status=1).stderr.splitlines()
    assert [line for line in lines if line.startswith("tonearm: ")] == lines[-1:], lines
    assert not [line for line in lines if "Traceback" in line or line.startswith((" ", "\t"))], lines
    return lines[-1]


def add_board(name: str, port: int, **entries: object) -> None:
    path = Path("../config/tonearm/boards.toml")
    path.parent.mkdir(parents=True)
    lines = [f'{key} = "{value}"' for key, value in entries.items()]
    path.write_text("\n".join([f"[{name}]", 'host = "127.0.0.1"', f"port = {port}", *lines]))


def test_the_help_lists_the_commands_with_examples() -> None:
    text = process("--help").stdout
    listed = [line.split()[0] for line in text.splitlines() if line.startswith("    ") and line[4] != " "]
    assert tuple(listed) == COMMANDS
    assert "examples:\n  tonearm " in text


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example_of_it(command: str) -> None:
    assert f"example:\n  tonearm {command}" in tonearm(command, "--help").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["depoly"],
        ["deploy", "hpn-reduced"],
        ["board"],
        ["export", "hpn-reduced", "--block", "a"],
        *NOTHING,
        *UNCLEAR,
        *TWICE,
        *IMPORT,
    ],
)
def test_wrong_usage_is_answered_with_the_usage(arguments: list[str]) -> None:
    assert tonearm(*arguments, status=2).stderr.startswith("usage: tonearm")


def test_a_process_that_was_used_wrongly_ends_with_2() -> None:
    done = process("depoly", status=2)
    assert done.stderr.startswith("usage: tonearm") and done.stdout == ""


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    assert "did you mean hpn-reduced?" in complaint("export", "hpn-reducd", run=process)


def test_a_missing_checkpoint_is_named() -> None:
    assert "nothing.pt" in complaint("export", "hpn-reduced", "--checkpoint", "nothing.pt")


def test_a_checkpoint_of_another_model_is_answered_with_a_few_keys_and_how_many() -> None:
    torch.save({"a.strange_weight": torch.zeros(3)}, "strange.pt")
    said = complaint("export", "hpn-reduced", "--checkpoint", "strange.pt")
    assert "strange.pt does not fit the model" in said
    assert "unexpected a.strange_weight" in said
    assert said.count("missing ") == 3 and "and 47 more; " in said
    assert not list(Path().glob("bundles/*"))


@pytest.mark.parametrize("block", [100, 0, -64])
def test_a_block_that_is_no_whole_number_of_hops_is_refused(block: int) -> None:
    assert str(block) in complaint("export", "hpn-reduced", "--block", block)
    assert not list(Path().glob("bundles/*"))


@pytest.mark.parametrize("command", ["render", "sweep"])
def test_a_block_that_the_bundle_does_not_have_is_answered_with_those_it_has(
    golden_bundle: Bundle, command: str
) -> None:
    ways = {
        "render": ["render", golden_bundle.folder, "--input", GOLDEN, "-o", "a.wav", "--block", 128],
        "sweep": ["sweep", "--models", golden_bundle.folder, "--blocks", 128],
    }
    said = complaint(*ways[command], "--board", "loopback")
    assert "no graph for blocks of 128 samples, only [64, 256]" in said


def test_more_threads_than_cores_are_refused(golden_bundle: Bundle) -> None:
    command = ["sweep", "--board", "loopback", "--models", golden_bundle.folder, "--blocks", 64]
    assert "1000 threads would only measure waiting" in complaint(*command, "--threads", 1000)
    assert not Path("results").exists()


def test_what_a_plan_says_and_the_search_or_a_protocol_decides_is_refused(golden_bundle: Bundle) -> None:
    plan = Path("plan.toml")
    plan.write_text(f'models = ["{golden_bundle.folder}"]\nboards = ["loopback"]\nblocks = [64]\nrepeats = 2\n')
    said = tonearm("sweep", "--plan", plan, "--smallest-block", status=2).stderr
    assert "--smallest-block sets repeats itself: take that out of the plan's file" in said
    said = tonearm("sweep", "--plan", plan, "--protocol", "ddx7", status=2).stderr
    assert "--protocol ddx7 sets blocks itself: take that out" in said
    plan.write_text(plan.read_text().replace("blocks = [64]", 'protocol = "ddx7"'))
    assert "sets repeats, protocol itself" in tonearm("sweep", "--plan", plan, "--smallest-block", status=2).stderr
    assert "has no graph for blocks of 128 samples" in complaint("sweep", "--plan", plan)


def test_what_a_virtual_board_can_not_be_asked_is_refused_at_once(golden_bundle: Bundle) -> None:
    sweep = ["sweep", "--board", "virtual", "--models", golden_bundle.folder]
    assert "--modes paced: as the clock of virtual counts instructions" in complaint(*sweep, "--modes", "paced")
    assert "on virtual, as its clock counts instructions" in complaint(*sweep, "--smallest-block")


def test_a_plan_that_says_something_else_is_answered_with_its_key() -> None:
    Path("plan.toml").write_text('models = ["hpn-reduced"]\nboard = ["loopback"]\n')
    assert "plan.toml: board: did you mean boards?" in complaint("sweep", "--plan", "plan.toml")


def test_an_unknown_board_is_answered_with_those_there_are(golden_bundle: Bundle) -> None:
    said = complaint("deploy", golden_bundle.folder, "--board", "nowhere")
    assert "unknown board 'nowhere': the boards are loopback, virtual" in said


def test_a_board_that_does_not_answer_is_named_with_its_address(golden_bundle: Bundle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    add_board("pi", port)
    assert f"pi: nothing answers at 127.0.0.1:{port}" in complaint("deploy", golden_bundle.folder, "--board", "pi")


def test_a_board_with_an_unknown_host_key_is_refused(golden_bundle: Bundle, tmp_path: Path) -> None:
    with serve(tmp_path / "server") as there:
        add_board("pi", there.port, user=there.user, key=there.key_file)
        said = complaint("deploy", golden_bundle.folder, "--board", "pi")
    assert "is not known (ssh-ed25519 SHA256:" in said
    assert f"ssh -p {there.port} {there.user}@127.0.0.1 true" in said


def test_a_damaged_bundle_is_refused_by_the_file(golden_bundle: Bundle) -> None:
    shutil.copytree(golden_bundle.folder, "damaged")
    Path("damaged/weights.bin").write_bytes(b"0")
    assert "weights.bin is not what the manifest says" in complaint("deploy", "./damaged", "--board", "loopback")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "f0_hz,volume\n440,1\n", "a.csv: hpn-reduced needs the input loudness_db"),
        ("a.csv", "f0_hz,loudness_db\n440,-20\nnan,-20\n", "a.csv: f0_hz is not a finite number at frame 1"),
        ("a.csv", "f0_hz,loudness_db\n440,-20\n440,loud\n", "a.csv: loudness_db"),
        ("a.csv", "f0_hz,loudness_db\n", "a.csv: f0_hz is empty"),
        ("a.csv", "", "a.csv is not a table"),
        ("a.npz", "no zip", "a.npz is not an .npz"),
        ("a.txt", "440 -20", "controls are read from .npz, .csv, .wav, .flac, not from .txt"),
        ("nothing.csv", None, "there is no file nothing.csv"),
    ],
)
def test_controls_that_do_not_fit_are_named(golden_bundle: Bundle, name: str, content: str | None, said: str) -> None:
    if content is not None:
        Path(name).write_text(content)
    arguments = ["render", golden_bundle.folder, "--board", "loopback", "--input", name, "-o", "a.wav"]
    assert said in complaint(*arguments)


def test_an_amplifier_of_ones_own_plays_a_recording_on_a_board(amp: Path) -> None:
    """What the README says, and what comes back is what the graph makes of the recording when called by hand."""
    shutil.copy(amp, "amp.onnx")
    time = np.arange(1000) / 48_000
    soundfile.write("take.wav", 0.5 * np.sin(2 * np.pi * 220 * time), 48_000, subtype="FLOAT")
    done = process("import", "amp.onnx", "--sample-rate", 48_000, "--state", "h_in=h_out")
    assert "state h_in -> h_out (1, 1, 8)" in done.stderr and "64 samples a call" in done.stderr
    assert done.stdout == "bundles/amp\n"
    assert "amp is current on loopback" in process("deploy", "bundles/amp", "--board", "loopback").stdout
    render = ["render", "bundles/amp", "--board", "loopback", "--input", "take.wav"]
    assert "out.wav: 0.02 s at 48000 Hz" in process(*render, "-o", "out.wav").stdout
    got, rate = soundfile.read("out.wav")
    wanted = played(amp, soundfile.read("take.wav", dtype="float32")[0])
    assert (rate, got.shape) == (48_000, (1000,))
    assert np.max(np.abs(got - wanted)) < 1e-5
    assert np.max(np.abs(wanted)) > 0.1


def played(amp: Path, audio: np.ndarray) -> np.ndarray:
    """The amplifier's graph, called by hand."""
    session, state, heard = onnxruntime.InferenceSession(amp), np.zeros((1, 1, 8), np.float32), []
    for block in np.pad(audio, (0, -len(audio) % 64)).reshape(-1, 1, 64):
        sound, state = session.run(["audio_out", "h_out"], {"audio_in": block, "h_in": state})
        heard.append(np.asarray(sound).ravel())
    return np.concatenate(heard)[: len(audio)]


def test_a_detector_of_ones_own_gives_one_number_a_block(vad: Path) -> None:
    tonearm("import", vad, "--sample-rate", 16_000, "--set", "sr=16000", "--dim", "batch=1", "--name", "own")
    soundfile.write("take.wav", np.zeros(5000), 16_000)
    render = ["render", "bundles/own", "--board", "loopback", "--input", "take.wav"]
    assert "out.wav: the outputs of own (output) are not one audio signal: write them to an .npz" in complaint(
        *render, "-o", "out.wav"
    )
    assert "out.npz: 0.32 s at 16000 Hz" in tonearm(*render, "-o", "out.npz").stdout
    assert read_arrays(Path("out.npz"))["output"].shape == (10,)


def test_a_graph_that_says_too_little_is_answered_with_the_option_to_give(vad: Path) -> None:
    assert "--dim batch=1" in complaint("import", vad, "--sample-rate", 16_000)
    assert "--set sr=VALUE" in complaint("import", vad, "--sample-rate", 16_000, "--dim", "batch=1")
    twice = ["--set", "sr=1", "--set", "sr=2"]
    assert "sr is given twice" in complaint("import", vad, "--sample-rate", 16_000, *twice)
    assert "there is no file a.onnx" in complaint("import", "a.onnx", "--sample-rate", 16_000)
    assert not Path("bundles").exists()


@pytest.mark.parametrize(
    ("channels", "rate", "samples", "said"),
    [
        (
            2,
            16_000,
            100,
            "take.wav has 2 channels at 16000 Hz, amp takes 1 channel at 16000 Hz: ffmpeg -i take.wav -ac 1 ",
        ),
        (1, 44_100, 100, "take.wav has 1 channel at 44100 Hz, amp takes 1 channel at 16000 Hz: ffmpeg -i take.wav"),
        (1, 16_000, 0, "take.wav is empty"),
        (0, 0, 0, "take.wav is not a sound file"),
    ],
)
def test_a_recording_that_does_not_fit_is_refused(amp: Path, channels: int, rate: int, samples: int, said: str) -> None:
    import_graph(amp, "amp", Path("amp"), sample_rate=16_000)
    if channels:
        soundfile.write("take.wav", np.zeros((samples, channels)), rate)
    else:
        Path("take.wav").write_text("not a sound")
    assert said in complaint("render", "./amp", "--board", "loopback", "--input", "take.wav", "-o", "out.wav")


def test_sound_is_not_written_as_anything(golden_bundle: Bundle) -> None:
    arguments = ["render", golden_bundle.folder, "--board", "loopback", "--input", GOLDEN, "-o", "a.mp3"]
    assert "a.mp3: sound is written as .wav or .npz" in complaint(*arguments)


def test_a_report_on_nothing_says_how_to_measure() -> None:
    assert "there is no folder nothing: measure first, with tonearm sweep -o nothing" in complaint("report", "nothing")


@pytest.mark.parametrize("block", [64, 256])
def test_the_golden_clip_comes_back_from_the_board_as_it_was_trained(
    golden: dict[str, np.ndarray], golden_bundle: Bundle, block: int
) -> None:
    command = ["render", golden_bundle.folder, "--board", "loopback", "--input", GOLDEN, "--block", block]
    assert "out.npz: 1.20 s at 16000 Hz" in tonearm(*command, "-o", "out.npz").stdout
    wanted = golden["out.synth_audio"][:, 0]
    got = read_arrays(Path("out.npz"))["audio"]
    assert got.shape == wanted.shape
    assert np.max(np.abs(got - wanted)) < 1e-4 * np.max(np.abs(wanted))


def test_the_golden_clip_becomes_a_sound_file(golden: dict[str, np.ndarray], golden_bundle: Bundle) -> None:
    command = ["render", golden_bundle.folder, "--board", "loopback", "--input", GOLDEN, "-o", "new/out.wav"]
    assert "new/out.wav: 1.20 s at 16000 Hz" in tonearm(*command).stdout
    got, rate = soundfile.read("new/out.wav")
    wanted = golden["out.synth_audio"][:, 0]
    gain = min(1, 0.99 / np.max(np.abs(wanted)))
    assert (rate, got.shape) == (16000, wanted.shape)
    assert np.max(np.abs(got - gain * wanted)) < 1e-4 * np.max(np.abs(wanted))


def test_deploy_says_what_it_pushed_and_that_it_proved_it(golden_bundle: Bundle) -> None:
    command = ["deploy", golden_bundle.folder, "--board", "loopback"]
    tonearm(*command)
    assert "nothing to upload; already proven on this board" in tonearm(*command).stdout
    assert f"releases/hpn-reduced/{golden_bundle.digest[:16]}" in tonearm("board", "info", "loopback").stdout


def test_a_sweep_measures_each_case_once_and_is_reported(golden_bundle: Bundle) -> None:
    command = ["sweep", "--board", "loopback", "--models", golden_bundle.folder, "--blocks", 64, 256, "--steps", 60]
    command += ["--modes", "burst", "--repeats", 1]
    first, second = (tonearm(*command, "-o", "results") for _ in range(2))
    assert "2 cases measured, 0 already in" in first.stderr
    assert "0 cases measured, 2 already in" in second.stderr
    assert len(Path("results/cases.jsonl").read_text().splitlines()) == 2
    told = process("report", "results", "--csv", "r.csv", "--html", "r.html")
    assert "p99 needs 299" in told.stdout and "golden" in told.stdout
    with Path("r.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [(row["model"], row["block"], row["n"], row["weights"]) for row in table] == [
        ("hpn-reduced", "64", "60", "golden"),
        ("hpn-reduced", "256", "60", "golden"),
    ]
    assert "<svg" in Path("r.html").read_text()


def test_a_protocol_says_itself_what_is_measured(golden_bundle: Bundle) -> None:
    command = ["sweep", "--board", "loopback", "--models", golden_bundle.folder, "--protocol", "ddx7"]
    refused = tonearm(*command, "--blocks", 64, "--steps", 7, status=2).stderr
    assert "--protocol ddx7 sets blocks, steps itself" in refused
    assert "has no graph for blocks of 128 samples" in complaint(*command)


def test_the_models_are_listed_with_what_they_weigh_and_where_their_weights_come_from() -> None:
    text = tonearm("models").stdout
    lines = [line.split() for line in text.splitlines() if line.startswith((" hpn", " ddx7", " wave"))]
    rows, trained = ({name: cells for name, *cells in part} for part in (lines[: len(MODELS)], lines[len(MODELS) :]))
    assert (list(rows), list(trained)) == (list(MODELS), list(TRAINED))
    assert trained["hpn-reduced-flute+cd"][:4] == ["control", "of", "hpn-full", "800"]
    assert trained["ddx7-full-flute"][:2] == ["plain", "3000"]
    assert rows["hpn-full"] == ["4298406+0+16002", "1070+3.66+28.7", "all", "32", "262"]
    assert rows["ddx7-reduced-flute"] == ["51922+0+16002", "12.8+0+28.7", "29", "32", "266"]
    assert rows["wavetable-reduced"][:2] == ["6150+10240+16002", "1.38+2.7+28.7"]
    assert "without --checkpoint these models are untrained" in text


@pytest.mark.parametrize("words", [["--version"], ["completion", "bash"], ["models"]], ids=lambda words: words[0])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_nothing_is_said_to_whoever_has_closed_the_pipe(words: list[str], unbuffered: str) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(program(*words), stdout=write_end, stderr=subprocess.PIPE, env=environment, timeout=60)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("words", ["models", "board list", "--version"])
@pytest.mark.parametrize("closed", [">&-", ">&- <&-", "> /dev/full"])
def test_an_output_that_takes_nothing_is_an_error_in_one_line(words: str, closed: str) -> None:
    command = f"{shlex.join(program(*words.split()))} {closed}"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False)
    assert "Traceback" not in done.stderr
    if words != "--version":  # which argparse prints
        assert done.returncode == 1
        assert re.search(r"^tonearm: .*(standard output is closed|No space left)", done.stderr, re.MULTILINE)


def test_a_closed_standard_error_keeps_no_result_back() -> None:
    command = f"{shlex.join(program('models'))} 2>&-"
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, "hpn-reduced-flute" in done.stdout) == (0, True)


def test_an_output_that_knows_only_ascii_gets_question_marks(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = process("export", tmp_path / "caf\u00e9", status=1, env=environment)
    assert "caf?" in done.stderr and done.stderr.isascii()


def test_a_file_that_can_not_be_written_is_named_with_its_machine() -> None:
    append(Path("results"), "a", entry(), samples(60))
    Path("page").mkdir()
    assert complaint("report", "results", "--html", "page") == "tonearm: page on this machine: Is a directory"
