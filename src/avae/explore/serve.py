"""Serve the page on this machine."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from avae.errors import UserError
from avae.explore.explored import Explored
from avae.explore.upload import MAX_BYTES

STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@contextmanager
def serving(
    explored: Explored, host: str, port: int | None, *, share: bool = False, open_browser: bool = False
) -> Iterator[str]:
    """Serve the page within the context; yield its address.

    Nothing is reported to anybody, and uploaded files are in a folder of their own, which is deleted.

    Args:
        host: address to listen at.
        port: port to listen at; None for a free one.
        share: also open a public address by Gradio's servers.

    Raises:
        UserError: the port is taken, or Gradio is not installed.
    """
    if port is not None and not _is_free(host, port):
        raise UserError(
            f"--port {port} is taken on {host}: choose another, or leave --port out for a free one"
        )
    with tempfile.TemporaryDirectory(prefix="avae-explore-") as uploads:
        gradio = _quiet_gradio(uploads)
        from avae.explore.page import (
            build_page,  # after Gradio's settings, which it reads when it is imported
        )

        theme = gradio.themes.Default(
            primary_hue="teal", neutral_hue="gray", font=["system-ui", "sans-serif"], font_mono=["monospace"]
        )
        page = build_page(explored)
        _, local, public = page.launch(
            server_name=host,
            server_port=port,
            share=share,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            quiet=True,
            max_file_size=MAX_BYTES,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            pwa=False,
            ssr_mode=False,
            theme=theme,
            css=STYLE.read_text(),
            head=f"<script>{SCRIPT.read_text()}</script>",
        )
        try:
            yield public or local
        finally:
            page.close(verbose=False)


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach an address."""
    return host in LOOPBACK


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError:
            return False
    return True


def _quiet_gradio(uploads: str) -> ModuleType:
    """Import Gradio so that it reports nothing, and keeps uploaded files in a folder.

    Raises:
        UserError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = uploads
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # Gradio asks its own server whether it has started; a proxy could not find it.
    direct = {name for name in os.environ.get("NO_PROXY", "").split(",") if name} | {"127.0.0.1", "localhost"}
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(sorted(direct))
    try:
        import gradio
    except ImportError:
        raise UserError("the page needs Gradio: pip install 'avae[explore]'") from None
    return gradio
