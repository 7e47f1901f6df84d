"""Each benchmark runs at its smallest size: what it calls still is as it expects."""

import importlib.util
import io
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import avae.cli
from picture_files import coloured_squares, folder

TESTS = Path(__file__).parents[1]
FOLDER = TESTS.parent / "benchmarks"
RATE = r"[\d,.]+"
RESULTS = {
    "data_rate": rf"64 px  packed +{RATE} pictures/s .* x {RATE}\n(.*\n)+a training step at 64 px, .*%",
    "dry_run": rf"\| digits \| {RATE} \| {RATE} \| {RATE} \|",
    "evaluation_time": rf"time relative to torch-fidelity .*: {{'clock': {RATE}, 'processor': {RATE}}}",
    "explore": rf"\| handler \| {RATE} \| {RATE} \|(.*\n)+\| browser, direction, with the map \| {RATE} \|",
    "ffhq256_smoke": r"avae figure 9 .*\n.*figure",
    "fingerprints": r'"weights": {\n    "vae": "[0-9a-f]{64}"',
    "fuzz": r"\nPASS",
    "gpu": r"agreement \((.*\n)+resume \(.*step 80\"\n(.*\n)+training \(.*samples\.png",
    "growth": rf"\| batch \|.*\n.*\n\| 2 \| {RATE} \|",
    "guarantees": rf"\| run, random halves, risk of all \| 60 \| {RATE} \|(.*\n)+(PASS|FAIL)",
    "hostile_files": r"\nPASS",
    "kill_nine": r"\nPASS: [12] kills of a run of 16 steps",
    "make_digits": r"1797 digits: ",
    "make_emoji": r"\d+ emoji, \d+ of them held out: ",
    "memory_format": rf"ratio +{RATE}\n",
    "onnx_parity": rf"\| mlp \| gan \| generator \| \d\.\de-\d+ \| \d\.\de-\d+ \| {RATE} \| {RATE} \|",
    "pack_memory": rf"\n +20 +{RATE}",
    "priors": rf"\| `parzen` \| {RATE} \| {RATE} \| {RATE} \| {RATE} \|",
    "realism": rf"\| folder \| 0 \| 1 \| {RATE} \|",
    "representations": r"\| classifier \| 100 \|(.*\n)+look at study/sheet\.png",
    "startup": rf"\| pass \| {RATE} \|(.*\n)+\| sample missing \| {RATE} \| -{RATE} \|",
    "step_time": rf'vaegan: {{"seconds": {{"ours": {RATE}, "plain": {RATE}.*"ratio": {{"plain": {RATE}',
    "systems": rf"\| `bigan` \| 0 \| \d+ \| fp32 \| {RATE} \|",
    "toy": rf"\| manifold_distance_decoder +\| +{RATE} \|",
}
"""What each prints, once it has come to its end."""

NEEDS = {"make_digits": "sklearn", "explore": "gradio"}
PROCESSES = ("kill_nine", "pack_memory", "startup")
"""Those that measure or kill processes. Commands of the others run in this process, which is faster."""

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="no benchmarks/ beside these tests")


def test_every_benchmark_is_tested():
    assert sorted(RESULTS) == sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # torch-fidelity's, on few cores
@pytest.mark.filterwarnings("ignore:Attempting to set identical low and high")  # no memory grows here
@pytest.mark.parametrize("name", RESULTS)
def test_the_smallest_run_prints_its_result(
    name, runs, pictures, small_toy, tmp_path, monkeypatch, capsys, request
):
    pytest.importorskip(NEEDS.get(name, "avae"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "inductor")  # step_time sets it
    monkeypatch.syspath_prepend(FOLDER)
    script = loaded(name)
    if not hasattr(script, "SMALLEST"):
        pytest.skip(f"benchmarks/{name}.py names no smallest size")
    if name == "kill_nine":
        request.getfixturevalue("forked")
    if name in ("evaluation_time", "explore", "guarantees", "priors"):
        Path("run").symlink_to(runs["digits-avae"])
    if name == "representations":
        folder(Path("coloured"), coloured_squares(32, 50))
    if name == "make_emoji":
        Path("pictures").symlink_to(pictures)
    if hasattr(script, "subprocess") and name not in PROCESSES:
        run = partial(in_this_process, script)
        monkeypatch.setattr(script, "subprocess", SimpleNamespace(**vars(subprocess) | {"run": run}))
    assert script.main(script.SMALLEST) in (None, 0)
    printed = capsys.readouterr().out
    assert re.search(RESULTS[name], printed), printed


def test_the_fuzzer_counts_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    fuzz = loaded("fuzz")
    (tmp_path / "here").mkdir()
    guard, count = fuzz.WriteGuard([tmp_path / "here"]), fuzz.Count()

    def write(name):
        monkeypatch.setattr(fuzz, "avae", lambda: (tmp_path / name).write_text("x"))
        guard.escapes.clear()
        guard.active = True
        answer = fuzz.call([])
        guard.active = False
        return answer

    assert not fuzz.judge(write("here/a"), count, guard.escapes, changed=False, grown=0.0)
    wrong = fuzz.judge(write("away"), count, guard.escapes, changed=True, grown=1e6)
    assert "PermissionError" in wrong[0]
    assert wrong[1] == f"open {tmp_path / 'away'}"
    assert not (tmp_path / "away").exists()
    for code, err, right in ((2, "avae: no\n", True), (2, "no\n", False), (1, "avae: no\n", False)):
        assert bool(fuzz.judge(fuzz.Answer(code, "", err), count, [], changed=False, grown=0.0)) is not right
    assert count == fuzz.Count(5, 1, 2, tracebacks=1, other_exits=2, escapes=1, changed=1, memory=1)
    assert count.wrong == 6


def test_fingerprints_name_what_differs():
    differences = loaded("fingerprints").differences
    before = {"results": {"vae": {"metrics": {"mse": 1.0, "kl": 2.0}, "gone": 3}, "gan": {}}}
    after = {"results": {"vae": {"metrics": {"mse": 1.5, "kl": 2.0}}}}
    assert list(differences(before, before)) == []
    assert list(differences(before, after)) == [
        "/results/vae/gone: 3 before, None now",
        "/results/vae/metrics/mse: 1.0 before, 1.5 now",
    ]


def loaded(name: str) -> ModuleType:
    """Import a benchmark under a name that no other module has, and without what pytest makes importable."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [path for path in sys.path if not Path(path).is_relative_to(TESTS)])
        for module, loaded_before in list(sys.modules.items()):
            if Path(getattr(loaded_before, "__file__", None) or "").is_relative_to(TESTS):
                patch.delitem(sys.modules, module)
        spec.loader.exec_module(script)
    return script


def in_this_process(
    script: ModuleType, command: list[Any], *, check: bool = False, text: bool = False, **options: Any
) -> "subprocess.CompletedProcess[Any]":
    """Run `avae ...`, `python -m avae ...` or the script as subprocess.run would, but in this process."""
    program, *arguments = map(str, command)
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(options.get("cwd") or Path.cwd())
        for variable, value in options.get("env", {}).items():
            patch.setenv(variable, value)
        if arguments[0] == script.__file__:
            script.main(arguments[1:])
        else:
            assert Path(program).name == "avae" or arguments[:2] == ["-m", "avae"]
            patch.setattr(sys, "argv", ["avae", *arguments[0 if Path(program).name == "avae" else 2 :]])
            with pytest.raises(SystemExit) as ended:
                avae.cli.main()
            code = ended.value.code or 0
    if not options.keys() & {"capture_output", "stdout"}:
        print(out.getvalue())
    said = [stream.getvalue() if text else stream.getvalue().encode() for stream in (out, err)]
    assert code == 0 or not check, (command, err.getvalue())
    return subprocess.CompletedProcess(command, code, *said)
