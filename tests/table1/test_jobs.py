"""From the command line to runs and their folders."""

import shutil

import pytest
from made_results import write_result, write_run

from avae.errors import UserError
from avae.recipes.paper import DEFAULT_ROWS
from avae.table1.jobs import TableColumn, column, columns, jobs


def test_rows_times_sets_times_seeds(tmp_path):
    sets = columns(["cifar10", "svhn"], None)
    made = jobs(sets, ("vae", "vaegan"), 3, tmp_path, {"steps": 7})
    assert [job.name for job in made] == [
        f"{name}/{row}/seed-{seed}"
        for seed in range(3)
        for name in ("cifar10", "svhn")
        for row in ("vae", "vaegan")
    ], "all cells once before any again"
    assert all(job.run == tmp_path / job.name for job in made)
    assert {job.config.seed for job in made} == {0, 1, 2}
    assert {job.config.steps for job in made} == {7}
    assert {(job.column.name, job.row): job.config.beta for job in made} == {
        ("cifar10", "vae"): 1,
        ("svhn", "vae"): 1,
        ("cifar10", "vaegan"): 10,
        ("svhn", "vaegan"): 20,
    }


def test_a_column_is_named_by_its_recipe_or_by_data_of_ones_own(pictures, tmp_path):
    assert column("celeba", None) == TableColumn("celeba", "celeba", "celeba")
    assert column(f"svhn={pictures}", None) == TableColumn("svhn", "svhn", str(pictures))
    assert column(str(pictures), None) == TableColumn(pictures.name, "folder", str(pictures))
    shutil.make_archive(str(tmp_path / "a=b"), "zip", pictures)
    assert column(f"{tmp_path}/a=b.zip", None) == TableColumn("a=b", "folder", f"{tmp_path}/a=b.zip")


def test_no_data_are_read_or_downloaded_for_it(monkeypatch):
    monkeypatch.setattr("avae.table1.jobs.resolve_source", pytest.fail)
    assert [one.source for one in columns(["bedroom", "svhn=svhn-extra", "ffhq"], None)] == [
        "bedroom",
        "svhn-extra",
        "ffhq",
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["cifar=x.zip"], "no column 'cifar'.*perhaps you meant 'cifar10'"),
        (["nowhere"], "nowhere"),
        (["cifar10", "cifar10=svhn"], "folder cifar10"),
        (["toy"], "points"),
    ],
)
def test_other_data_are_refused(given, words):
    with pytest.raises(UserError, match=words):
        columns(given, None)


# The command


def table1(cli, *arguments):
    return cli("table1", "--width", 2, "--steps", 8, *arguments)


def test_a_dry_run_tells_every_command_and_does_nothing(cli, pictures, tmp_path):
    said = table1(cli, "--data", f"cifar10={pictures}", "--seeds", 2, "--out", tmp_path / "t", "--dry-run")
    assert said.code == 0
    assert not (tmp_path / "t").exists()
    for row in DEFAULT_ROWS:
        for seed in range(2):
            assert f"--out {tmp_path}/t/cifar10/{row}/seed-{seed} " in said.out
    (line,) = [line for line in said.out.splitlines() if "vaegan/seed-1" in line and "avae train" in line]
    for words in (
        "cifar10",
        f"--data {pictures}",
        "--framework vaegan",
        "--beta 10.0",
        "--seed 1",
        "--resume",
    ):
        assert words in line
    assert "--latent-loss" not in line
    (line,) = [line for line in said.out.splitlines() if "avae-xi-a/seed-0" in line and "avae train" in line]
    assert "--latent-loss a" in line
    assert "--xi-dim" not in line, "100, as the recipe has it"
    assert said.out.count("avae evaluate") == len(DEFAULT_ROWS) * 2


def test_what_is_there_is_told(cli, tmp_path):
    done = write_run(tmp_path, "cifar10", "vae", 0, width=2, steps=8)
    write_result(done, {"fid": 1.0})
    write_run(tmp_path, "cifar10", "gan", 0, width=2, steps=8)
    failed = write_run(tmp_path, "cifar10", "bigan", 0, width=2, steps=8)
    (failed / "failed.json").write_text('{"kind": "collapsed", "reason": "so", "step": 4}')
    said = table1(
        *(cli, "--data", "cifar10", "--seeds", 1, "--out", tmp_path, "--dry-run"),
        *("--frameworks", "vae", "gan", "bigan"),
    )
    assert "# cifar10/vae/seed-0: done" in said.out
    assert "# cifar10/gan/seed-0: 8 of 8 steps done" in said.out
    assert "# cifar10/bigan/seed-0: collapsed" in said.out
    assert "avae train" not in said.out
    assert said.out.count("avae evaluate") == 1


def test_a_result_from_before_a_run_was_trained_for_longer_is_made_anew(cli, tmp_path):
    for row, steps in (("vae", 8), ("gan", 4)):
        write_result(write_run(tmp_path, "cifar10", row, 0, width=2, steps=8), {"fid": 1.0}, step=steps)
    said = table1(
        *(cli, "--data", "cifar10", "--seeds", 1, "--out", tmp_path, "--dry-run"),
        *("--frameworks", "vae", "gan"),
    )
    assert "# cifar10/vae/seed-0: done" in said.out
    assert said.out.count("avae evaluate") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 3}, ["--width 3, not 2"]),
        ({"steps": 9}, ["--steps 9, not 8"]),
        ({"steps": 7}, ["--steps 7, not 8"]),
        ({"latent_weighting": "softmax"}, ["--latent-weighting softmax"]),
        ({"sigma_lr_multiplier": 2.0}, ["--sigma-lr-multiplier 2.0, not 25.0"]),
    ],
)
@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_a_run_with_other_settings_is_refused_by_name(change, words, dry, cli, tmp_path, contents):
    settings = {"width": 2, "steps": 8} | change
    write_run(tmp_path, "cifar10", "gan", 0, **settings)
    before = contents(tmp_path)
    table1(cli, "--data", "cifar10", "--out", tmp_path, *dry).refused("cifar10/gan/seed-0", *words)
    assert contents(tmp_path) == before


def test_a_run_with_other_data_is_refused_by_name(cli, pictures, tmp_path, contents):
    write_run(tmp_path, "cifar10", "gan", 0, width=2, steps=8, data="others")
    before = contents(tmp_path)
    table1(cli, "--data", f"cifar10={pictures}", "--out", tmp_path).refused(
        "cifar10/gan/seed-0", "others", str(pictures)
    )
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("", ["--data"]),
        ("--data cifar10 --frameworks vaes", ["vaes"]),
        ("--data cifar10 --frameworks vae vae", ["once"]),
        ("--data cifar10 --seeds 0", ["--seeds 0"]),
        ("--data cifar10 --steps 0", ["--steps 0"]),
        ("--data cifar10 --samples 0", ["--samples 0"]),
        ("--data cifar10 --inception-weights nowhere", ["--inception-weights nowhere"]),
        ("--data cifar10 --lpips-weights nowhere", ["--lpips-weights nowhere"]),
        ("--data digits --features nowhere.py:load", ["nowhere.py"]),
        ("--data digits --features no.such.module:load", ["no.such.module"]),
        ("--table-only", ["no runs"]),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(flags, words, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli("table1", *flags.split()).refused(*words)
    assert list(tmp_path.iterdir()) == []


def test_torchrun_is_refused(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    cli("table1", "--data", "cifar10", "--out", tmp_path).refused("torchrun", "several times")


@pytest.mark.parametrize(
    ("row", "size", "measured", "flags", "due"),
    [
        ("vae", 32, {"mse": 1.0}, [], True),
        ("vae", 32, {"fid": 1.0}, [], False),
        ("vae", 32, {"fid": 1.0}, ["--lpips-weights", "weights"], True),
        ("vae", 32, {"fid": 1.0, "lpips": 1.0}, ["--lpips-weights", "weights"], False),
        ("gan", 32, {"fid": 1.0}, ["--lpips-weights", "weights"], False),
        ("vae", 16, {"fid": 1.0}, ["--lpips-weights", "weights"], False),
    ],
)
def test_a_result_is_completed_when_what_it_lacked_is_given(
    row, size, measured, flags, due, cli, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").touch()
    write_result(write_run(tmp_path / "out", "cifar10", row, 0, width=2, steps=8, size=size), measured)
    said = table1(
        *(cli, "--data", "cifar10", "--frameworks", row, "--seeds", 1, "--size", size),
        *("--out", tmp_path / "out", "--dry-run", *flags),
    )
    assert said.code == 0, said.err
    assert ("avae evaluate" in said.out) == due
    assert "avae train" not in said.out
