"""Serve the page on this machine."""

import os
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
        UserError: Gradio is not installed, the port is taken, or Gradio's servers do not answer `share`.
    """
    with tempfile.TemporaryDirectory(prefix="avae-explore-") as uploads:
        gradio = _quiet_gradio(uploads, host)
        from avae.explore.page import build_page  # imports Gradio, which reads its settings then

        theme = gradio.themes.Default(
            primary_hue="teal", neutral_hue="gray", font=["system-ui", "sans-serif"], font_mono=["monospace"]
        )
        page = build_page(explored)
        try:
            _, local, public = page.launch(
                server_name=f"[{host}]" if ":" in host else host,
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
        except OSError:  # the port was taken while the model was loaded
            taken = "the usual ports are taken" if port is None else f"--port {port} is taken"
            raise UserError(f"{taken} on {host}: choose another with --port") from None
        try:
            if share and not public:
                raise UserError("--share: no public address could be opened: leave it out, or try later")
            yield public or local
        finally:
            page.close(verbose=False)


def _quiet_gradio(uploads: str, host: str) -> ModuleType:
    """Import Gradio so that it reports nothing, keeps uploaded files in a folder, and finds its own server.

    Raises:
        UserError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = uploads
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # Gradio asks its own server at `host` whether it has started; a proxy could not find it.
    given = ",".join(os.environ.get(name, "") for name in ("NO_PROXY", "no_proxy")).split(",")
    direct = {name.strip() for name in given if name.strip()} | {"127.0.0.1", "localhost", host}
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(sorted(direct))
    try:
        import gradio
    except ImportError:
        raise UserError("the page needs Gradio: pip install 'avae[explore]'") from None
    return gradio
