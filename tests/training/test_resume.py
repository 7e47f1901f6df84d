"""A run stopped anywhere and resumed is, bit for bit, the run that was left alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import avae
from avae.engine.metrics_log import read_stats
from avae.safetensors_io import load_tensors
from avae.training.batches import BatchStream
from command_line import as_flags
from kill import Killed, die_before

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from kill_nine import AVAE, compare

FEW_PASSES = {"width": 2, "code_dim": 4, "xi_dim": 2, "batch_size": 256}

VARIANTS = {
    "vae": {"framework": "vae"},
    "vae-learned": {"framework": "vae", "beta": "learned"},
    "ian": {"framework": "ian", "ema_half_life": 100},
    "avae": {},
    "avae-average": {"ema_half_life": 100},
    "gan": {"framework": "gan", "ema_half_life": 100},
    "vaegan": {"framework": "vaegan", "ema_half_life": 100},
    "bigan": {"framework": "bigan", "ema_half_life": 100},
    "avae-a-softmax-without-xi": {"latent_loss": "a", "latent_weighting": "softmax", "xi_dim": 0},
    "avae-annealed": {"latent_weighting": "annealed", "latent_codes": "pictures"},
    "avae-controlled": {"latent_weighting": "annealed", "target_kl": 5.0},
    "avae-bf16": {"precision": "bf16", "steps": 5},
    "avae-regularized": {"r1": 0.1, "path_length": 1e-3},
    "avae-stopped-in-its-warm-start": {"warm_start": 0.8, "ema_half_life": 100},
    "avae-stopped-at-the-end-of-its-warm-start": {"warm_start": 0.6, "ema_half_life": 100},
    "avae-pairs": {
        "latent_codes": "pairs",
        "spread": 0.1,
        "critic": "code",
        "adversarial_loss": "relativistic",
        "r1": 0.1,
        "r2": 0.1,
        "penalty_every": 1,
    },
}
"""On points, for a state is saved by the same code whatever it holds."""

VARIANTS_OF_IMAGES = {  # these have batch norm, flips and augmentation, too
    "dcgan": {"ema_half_life": 100, "r1": 0.1, "path_length": 1e-3, "augment": True, "flip": True},
    "stylegan2": {"network": "stylegan2", "width": 1},
    "resize": {"network": "resize", "warm_start": 0.3, "r1": 0.1, "penalty_every": 2},
}


def send_at(monkeypatch, number: int, step: int) -> None:
    """Deliver a signal to this process while `step` is computed."""
    micro_batches = BatchStream.micro_batches

    def and_signal(self, at, phase):
        if at == step and phase.name in ("main", "warm_start"):
            os.kill(os.getpid(), number)
        return micro_batches(self, at, phase)

    monkeypatch.setattr(BatchStream, "micro_batches", and_signal)


@pytest.mark.parametrize("variant", VARIANTS)
def test_stopped_and_resumed_equals_uninterrupted(variant, tmp_path, few_points):
    check_stopped_and_resumed(
        "toy", few_points | {"log_every": 1, "checkpoint_every": 100} | VARIANTS[variant], tmp_path
    )


@pytest.mark.parametrize("variant", VARIANTS_OF_IMAGES)
def test_stopped_and_resumed_equals_uninterrupted_on_images(variant, tiny, tmp_path):
    check_stopped_and_resumed("digits", tiny | {"log_every": 1} | VARIANTS_OF_IMAGES[variant], tmp_path)


def check_stopped_and_resumed(recipe, settings, tmp_path):
    alone, stopped = tmp_path / "alone", tmp_path / "stopped"
    avae.train(recipe, **settings, out=str(alone))
    with pytest.MonkeyPatch.context() as patch:
        send_at(patch, signal.SIGTERM, step=2)
        with pytest.raises(SystemExit) as ended:
            avae.train(recipe, **settings, out=str(stopped))
    assert ended.value.code == 128 + signal.SIGTERM
    assert [line["step"] for line in read_stats(stopped / "stats.jsonl")] == [1, 2, 3]
    avae.train(recipe, out=str(stopped), resume=True)
    # Stopping leaves pictures of the step it stopped at, and nothing else, behind.
    extra = {difference for difference in compare(alone, stopped) if "step-00000003" not in difference}
    assert extra == set()


def test_ctrl_c_in_python_saves_and_raises_keyboard_interrupt(tiny, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    send_at(monkeypatch, signal.SIGINT, step=1)
    with pytest.raises(KeyboardInterrupt):
        avae.train("digits", **tiny, out=str(tmp_path / "run"))
    assert avae.load(tmp_path / "run").sample(1).shape == (1, 1, 16, 16)
    assert [path.name for path in (tmp_path / "run/state").iterdir()] == ["step-00000002.safetensors"]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("where", ["training.train.load_dataset", "training.plan.load_dataset"])
def test_a_signal_before_the_first_step_ends_it_without_a_run(number, where, tiny, tmp_path, monkeypatch):
    def load(*_):
        os.kill(os.getpid(), number)
        pytest.fail("still at it")

    monkeypatch.setattr(f"avae.{where}", load)
    settings = tiny if "train.load" in where else tiny | {"steps": None, "minutes": 1.0}
    with pytest.raises(SystemExit) as ended:
        avae.train("digits", **settings, out=str(tmp_path / "run"))
    assert ended.value.code == 128 + number
    assert not (tmp_path / "run").exists()


def test_a_hangup_saves(tiny, tmp_path, monkeypatch):
    send_at(monkeypatch, signal.SIGHUP, step=1)
    with pytest.raises(SystemExit) as ended:
        avae.train("digits", **tiny, out=str(tmp_path / "run"))
    assert ended.value.code == 128 + signal.SIGHUP
    assert [path.name for path in (tmp_path / "run/state").iterdir()] == ["step-00000002.safetensors"]


def test_output_that_nobody_reads_ends_no_run(tiny, tmp_path, monkeypatch):
    """As `avae train ... 2>&1 | head -1`, and as a terminal that is gone."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", closed)
        patch.setattr("avae.engine.progress.PLAIN_SECONDS", 0.0)
        avae.train("digits", **tiny, out=str(tmp_path / "run"))
    assert (tmp_path / f"run/state/step-{tiny['steps']:08d}.safetensors").exists()


@pytest.mark.usefixtures("forked")
def test_signals_of_a_real_process_save_and_exit(tmp_path):
    """Ctrl-C, then SIGTERM, sent to `avae train` at whatever it does; then to the end."""
    run, alone = tmp_path / "run", tmp_path / "alone"
    command = [AVAE, "train", "digits", *as_flags(FEW_PASSES), "--log-every=1", "--checkpoint-every=1000"]
    avae.train(
        "digits", **FEW_PASSES, steps=40, out=str(alone), checkpoint_every=1000, log_every=1, device="cpu"
    )
    reached = 0
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(
            [*command, "--steps=40", "--resume", "--out", run], stderr=subprocess.PIPE, text=True
        )
        while process.poll() is None and len(read_stats(run / "stats.jsonl")) < reached + 5:
            time.sleep(0.002)
        process.send_signal(number)
        error = process.communicate()[1]
        reached = read_stats(run / "stats.jsonl")[-1]["step"]
        assert process.returncode == 128 + number, error
        assert f"stopped at step {reached} of 40, all saved; continue with --resume" in error
        assert "Traceback" not in error
        assert (run / "state" / f"step-{reached:08d}.safetensors").exists()
    avae.train("digits", resume=True, out=str(run))
    assert [line["step"] for line in read_stats(run / "stats.jsonl")] == list(range(1, 41))
    states = [load_tensors(folder / "state/step-00000040.safetensors")[0] for folder in (run, alone)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
    weights, expected = (load_tensors(folder / "model/model.safetensors")[0] for folder in (run, alone))
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_killed_between_any_two_files(few_points, tmp_path, monkeypatch):
    """As kill -9 right before each file of a checkpoint is put in place."""
    settings = few_points | {"steps": 4, "checkpoint_every": 2, "log_every": 1, "batch_size": 16}
    alone = tmp_path / "alone"
    with monkeypatch.context() as patch:
        changes = die_before(patch, None)
        avae.train("toy", **settings, out=str(alone))
    # Config, log, and twice: weights and config of the model, a picture, the state.
    assert len(changes) >= 10
    for at in range(len(changes)):
        run = tmp_path / str(at)
        with pytest.MonkeyPatch.context() as patch:
            die_before(patch, at)
            with pytest.raises(Killed):
                avae.train("toy", **settings, out=str(run))
        # A run killed before it has its config.json has no settings of its own yet.
        avae.train("toy", **settings, out=str(run), resume=True)
        assert compare(alone, run) == [], f"killed before {changes[at]}"


def test_a_log_line_cut_short_by_a_kill_is_dropped(tiny, tmp_path):
    run = tmp_path / "run"
    avae.train("digits", **tiny, out=str(run))
    stats = run / "stats.jsonl"
    stats.write_text(stats.read_text() + '{"step": 9, "images": 5')
    avae.train("digits", out=str(run), resume=True, steps=12)
    lines = [json.loads(line) for line in stats.read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]


# Which runs may go on


def test_resume_without_a_run_starts_at_step_0(cli, tiny, tmp_path):
    run = tmp_path / "run"
    assert cli("train", "digits", *as_flags(tiny), "--resume", "--out", run).code == 0
    assert [line["step"] for line in read_stats(run / "stats.jsonl")] == [2, 4, 6, 8]


def test_resume_of_a_run_without_checkpoint_starts_at_step_0(cli, tiny, tmp_path):
    alone, run = tmp_path / "alone", tmp_path / "run"
    avae.train("digits", **tiny, out=str(alone))
    avae.train("digits", **tiny, out=str(run))
    for path in (run / "state").iterdir():
        path.unlink()
    assert cli("train", "digits", "--resume", "--out", run).code == 0
    assert compare(alone, run) == []


def test_resume_of_a_finished_run_changes_nothing(cli, runs, contents):
    for name, recipe in (("digits-avae", "digits"), ("toy-vae", "toy")):
        before = contents(runs[name])
        said = cli("train", recipe, "--resume", "--out", runs[name])
        assert (said.code, said.out.splitlines()[0]) == (0, f"the model is in {runs[name]}; next:")
        assert "is finished: all 8 steps are done" in said.err
        assert contents(runs[name]) == before


@pytest.mark.parametrize(
    "changes",
    [
        ("--batch-size", "32"),
        ("--width", "3"),
        ("--framework", "vae"),
        ("--seed", "5"),
        ("--learning-rate", "0.1"),
        ("--latent-weighting", "equation"),
        ("--size", "32"),
        ("--channels", "3"),
        ("--precision", "bf16"),
        ("--ema-half-life", "7"),
        ("--xi-dim", "0"),
    ],
)
def test_resume_with_another_configuration_is_refused(changes, cli, runs, contents):
    before = contents(runs["digits-avae"])
    cli("train", "digits", *changes, "--resume", "--out", runs["digits-avae"]).refused(
        *changes, "cannot change"
    )
    assert contents(runs["digits-avae"]) == before


def test_resume_under_another_recipe_is_refused(cli, runs):
    cli("train", "folder", "--resume", "--out", runs["digits-avae"]).refused("folder", "digits", "recipe")


def test_fewer_steps_are_refused(cli, runs, contents):
    before = contents(runs["digits-avae"])
    cli("train", "digits", "--steps", 7, "--resume", "--out", runs["digits-avae"]).refused("--steps 7", "8")
    assert contents(runs["digits-avae"]) == before


def test_more_steps_go_on_and_the_new_schedule_is_told(cli, tiny, tmp_path):
    run = tmp_path / "run"
    avae.train("digits", **tiny, out=str(run))
    said = cli("train", "digits", "--steps", 16, "--resume", "--out", run)
    assert said.code == 0
    half = 5e-4 * 0.02 ** (8 / 16)
    assert f"16 steps instead of 8: the learning rate continues at {half:.3g} and ends at 1e-05" in said.err
    stats = read_stats(run / "stats.jsonl")
    assert [line["step"] for line in stats] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert stats[4]["learning_rate_factor"] == pytest.approx(0.02 ** (9 / 16))
    assert json.loads((run / "config.json").read_text())["config"]["steps"] == 16
    assert cli("train", "digits", "--resume", "--out", run).code == 0  # finished now


def test_flags_left_out_are_the_runs(cli, tiny, tmp_path):
    """Width and the rest come from the folder, not from the recipe."""
    run = tmp_path / "run"
    avae.train("digits", **tiny, out=str(run), seed=3)
    assert cli("train", "digits", "--resume", "--steps", 10, "--log-every", 1, "--out", run).code == 0
    config = json.loads((run / "config.json").read_text())["config"]
    assert config | {"steps": 8, "log_every": 2} == config | tiny | {"seed": 3}
    assert config["log_every"] == 1


def test_a_run_folder_may_be_moved(cli, tiny, tmp_path, monkeypatch):
    """config.json holds where the run was; --resume goes on where it is."""
    monkeypatch.chdir(tmp_path)
    avae.train("digits", **tiny, out="here")
    os.rename("here", "there")
    avae.train("digits", **tiny, out="here")
    assert cli("train", "digits", "--resume", "--steps", 9, "--out", "there").code == 0
    os.makedirs("runs")
    os.rename("there", "runs/digits")
    assert cli("train", "digits", "--resume", "--steps", 10).code == 0
    assert read_stats(Path("runs/digits/stats.jsonl"))[-1]["step"] == 10
    assert read_stats(Path("here/stats.jsonl"))[-1]["step"] == 8


def test_other_pictures_at_the_same_path_are_refused(cli, tiny, pictures, tmp_path):
    data, run = tmp_path / "pictures", tmp_path / "run"
    copy(pictures, data)
    settings = tiny | {"batch_size": 4}
    assert cli("train", "folder", *as_flags(settings), "--data", data, "--out", run).code == 0
    (data / "even/00.png").write_bytes((data / "odd/01.png").read_bytes())
    (data / "even/02.png").write_bytes((data / "odd/01.png").read_bytes())
    asked = ("train", "folder", "--steps", 9, "--resume", "--out", run)
    cli(*asked).refused(str(data), "restore them")
    copy(pictures, tmp_path / "moved")
    assert cli(*asked, "--data", tmp_path / "moved").code == 0, "the same pictures elsewhere will do"


# Damage


@pytest.mark.parametrize("harm", ["cut", "emptied", "bit in the tensors", "bit in the header", "no tensors"])
def test_a_damaged_checkpoint_is_named(harm, cli, runs, tmp_path, contents):
    run = tmp_path / "run"
    shutil.copytree(runs["digits-avae"], run)
    damage(run / "state/step-00000008.safetensors", harm)
    before = contents(run)
    said = cli("train", "digits", "--resume", "--steps", 10, "--out", run)
    said.refused(f"{run}/state/step-00000008.safetensors is damaged", "; delete it to resume from step 4")
    assert contents(run) == before


def test_the_remedy_for_damaged_checkpoints_works(cli, tiny, tmp_path):
    alone, run = tmp_path / "alone", tmp_path / "run"
    avae.train("digits", **tiny, out=str(alone))
    with pytest.MonkeyPatch.context() as patch:
        send_at(patch, signal.SIGTERM, step=5)
        with pytest.raises(SystemExit):
            avae.train("digits", **tiny, out=str(run))
    for step, remedy in ((6, "resume from step 4"), (4, "start from step 0")):
        state = run / f"state/step-{step:08d}.safetensors"
        damage(state, "cut")
        cli("train", "digits", "--resume", "--out", run).refused(str(state), f"delete it to {remedy}")
        state.unlink()
    assert cli("train", "digits", "--resume", "--out", run).code == 0
    assert {found for found in compare(alone, run) if "step-00000006" not in found} == set()


def test_a_state_of_other_networks_is_refused(cli, tiny, tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    avae.train("digits", **tiny, out=str(run))
    avae.train("digits", **tiny | {"width": 3}, out=str(other))
    state = "state/step-00000008.safetensors"
    (run / state).write_bytes((other / state).read_bytes())
    cli("train", "digits", "--resume", "--steps", 9, "--out", run).refused(str(run / state), "delete it")


def test_a_damaged_config_is_refused(cli, tiny, tmp_path, contents):
    run = tmp_path / "run"
    avae.train("digits", **tiny, out=str(run))
    for text in ("{", "[]", '{"config": {}}', '{"config": {"depth": 3}, "data": {}}'):
        (run / "config.json").write_text(text)
        before = contents(run)
        cli("train", "digits", "--resume", "--out", run).refused("config.json")
        assert contents(run) == before


def damage(path: Path, harm: str) -> None:
    data = bytearray(path.read_bytes())
    if harm == "cut":
        del data[len(data) // 2 :]
    elif harm == "emptied":
        data.clear()
    elif harm == "bit in the tensors":
        data[-100] ^= 1
    elif harm == "bit in the header":
        data[20] ^= 1
    else:
        data[:] = b"\x02" + b"\0" * 7 + b"{}"
    path.write_bytes(data)


def copy(source: Path, target: Path) -> None:
    for path in source.rglob("*.png"):
        (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        (target / path.relative_to(source)).write_bytes(path.read_bytes())
