"""What is imported at the start, counted in modules: seconds depend on the machine."""

import subprocess
import sys

SLOW = (
    *("torch", "scipy", "sklearn", "matplotlib", "torchvision", "torchmetrics", "torch_fidelity", "zuko"),
    *("gradio", "pandas"),
)
"""Packages that take long to import."""

CODE = f"""
import sys, avae
from avae.cli import main

given = sys.argv[1:]

def slow():
    return [name for name in {SLOW!r} if name in sys.modules]

def call(line):
    sys.argv = ["avae", *line.split()]
    try:
        main()
    except SystemExit as ended:
        return ended.code
"""


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process."""
    command = [sys.executable, "-c", CODE + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_help_needs_no_torch():
    done = run("""
assert not slow(), "import avae"
verbs = ["demo", "evaluate", "sample", "prior", "reconstruct", "encode", "decode", "interpolate", "table1"]
verbs += ["export", "card", "push"]
verbs += ["explore", "train toy", "figure 8", "figure tradeoff", "data info", "data pack"]
lines = ["", "--help", "-h", "--version", "train", "train --help", "figure", "data --help"]
for line in lines + [f"{verb} --help" for verb in verbs]:
    assert call(line) == 0, line
    assert not slow(), (line, slow())
""")
    assert "usage: avae VERB" in done.stdout
    assert "usage: avae train RECIPE" in done.stdout


def test_errors_need_no_torch(runs):
    """Flags, runs, data, pictures and --out are checked first."""
    done = run(
        """
run = given[0]
for line in f'''
sampel
train toyy
train folder
train folder --data missing --out new
train digits --bacth-size 3
train digits --width 0
train digits --size 33
train digits --out {run}
train digits --out {run} --resume --xi-dim 9
demo --out {run}
evaluate missing
evaluate {run} --data missing --out new.json
evaluate {run} --out {run}/config.json
sample missing
sample {run} --cuont 3
sample {run} --out {run}
prior missing
prior {run} --data missing
prior {run} --out {run}
reconstruct missing a.png
reconstruct {run} missing.png --out new
reconstruct {run} {run} --out {run}
encode {run} missing.png --out new.npz
encode {run} missing.png --out {run}/config.json
decode {run} missing.npz --out new
interpolate {run} missing.png missing.png --out new
explore missing
explore {run} --data missing
explore {run} --port 0
export missing
export {run} --out {run}
card {run}
card {run} --licence mitt
push {run} name --licence mit
push {run} anna/name
sample hf:anna/name
figure 8 missing
figure 8 {run} --data missing --out new
figure 7 {run} --pictures missing.png --out new
data pack missing new
data info missing
table1
table1 --data cifar10 --seeds 0
'''.split("\\n")[1:-1]:
    assert call(line) == 2, line
    assert not slow(), (line, slow())
""",
        runs["digits-avae"],
    )
    lines = done.stderr.splitlines()
    assert len(lines) == 43
    assert all(line.startswith("avae: ") for line in lines)


def test_data_are_packed_without_torch(pictures, tmp_path):
    run(
        """
assert call(f"data pack {given[0]} {given[1]}/packed --size 16 --cache {given[1]}/cache") == 0
assert call(f"data info {given[1]}/packed --out {given[1]}/sheet.png") == 0
assert not slow(), slow()
""",
        pictures,
        tmp_path,
    )
    assert (tmp_path / "sheet.png").is_file()


def test_training_and_sampling_import_little_besides_torch(runs, tmp_path):
    """Nothing of evaluation, which may never be asked for, and no compiler."""
    run(
        """
import avae.cli.train
assert call(f"sample {given[0]} --count 2 --out {given[1]}/new") == 0
assert slow() == ["torch"], slow()
assert "torch._dynamo" not in sys.modules
""",
        runs["digits-avae"],
        tmp_path,
    )
