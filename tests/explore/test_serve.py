"""The verb: what it refuses, what it warns of, and how it ends."""

import os
import re
import socket

import pytest

from avae.cli.flags import explore as flags
from avae.explore.address import can_listen
from avae.explore.serve import _quiet_gradio


@pytest.fixture
def at_once(monkeypatch):
    """Press Ctrl-C as soon as the page is served; no browser opens."""

    class Interrupted:
        def wait(self):
            raise KeyboardInterrupt

    monkeypatch.setattr("avae.cli.explore.Event", Interrupted)


def test_it_prints_the_address_and_ends_with_a_line(cli, runs, at_once):
    said = cli("explore", runs["digits-avae"], "--no-open", "--device", "cpu")
    assert said.code == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/ \(Ctrl-C ends it\)\n\nthe page is closed\n", said.out)


def test_another_host_is_warned_of(cli, runs, at_once):
    said = cli("explore", runs["digits-avae"], "--no-open", "--host", "0.0.0.0")
    assert said.out.startswith("warning: with --host 0.0.0.0 anyone on the network can use the page\n")


def test_a_model_folder_needs_no_data(cli, runs, at_once):
    said = cli("explore", runs["digits-avae"] / "model", "--no-open")
    assert said.code == 0


def test_a_run_whose_data_are_gone_is_shown_without(cli, run, at_once):
    config = run / "config.json"
    config.write_text(config.read_text().replace('"data": "digits"', '"data": "gone/pictures"'))
    said = cli("explore", run, "--no-open")
    assert said.code == 0
    assert "note: gone/pictures" in said.out
    cli("explore", run, "--no-open", "--data", "missing").refused("missing")


def test_a_port_that_is_taken_is_refused(cli, runs):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cli("explore", runs["digits-avae"], "--no-open", "--port", port).refused(f"--port {port} is taken")
    cli("explore", runs["digits-avae"], "--host", "1.2.3.4").refused("--host 1.2.3.4", "no such address")
    cli("explore", runs["digits-avae"], "--port", 70000).refused("--port 70000", "1 to 65535")


def test_a_port_that_is_taken_meanwhile_is_refused(cli, runs, monkeypatch):
    monkeypatch.setattr(flags, "require_address", lambda host, port: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cli("explore", runs["digits-avae"], "--no-open", "--port", port).refused(f"--port {port} is taken")


def test_an_address_of_ipv6_is_served(cli, runs, at_once):
    if not can_listen("::1", 0):
        pytest.skip("this machine has no IPv6")
    said = cli("explore", runs["digits-avae"], "--no-open", "--host", "::1")
    assert said.code == 0
    assert said.out.startswith("http://[::1]:")


def test_its_own_server_is_reached_without_a_proxy(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "a.example")
    monkeypatch.setenv("no_proxy", "b.example, c.example")
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")  # set back after the test
    _quiet_gradio(str(tmp_path), "192.0.2.1")
    direct = {"127.0.0.1", "192.0.2.1", "a.example", "b.example", "c.example", "localhost"}
    assert set(os.environ["NO_PROXY"].split(",")) == set(os.environ["no_proxy"].split(",")) == direct


def test_points_are_refused(cli, runs):
    cli("explore", runs["toy-avae"], "--no-open").refused("of points")


def test_without_gradio_it_says_how_to_install_it(cli, runs, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    cli("explore", runs["digits-avae"]).refused("pip install 'avae[explore]'")


def test_help_has_an_example(cli):
    said = cli("explore", "--help")
    assert said.code == 0
    assert "Example: avae explore runs/photos" in said.out
