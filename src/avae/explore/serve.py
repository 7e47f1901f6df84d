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
        UserError: Gradio is not installed, or its servers do not answer `share`.
    """
    with tempfile.TemporaryDirectory(prefix="avae-explore-") as uploads:
        gradio = _quiet_gradio(uploads)
        from avae.explore.page import build_page  # imports Gradio, which reads its settings then

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
            if share and not public:
                raise UserError("--share: no public address could be opened: leave it out, or try later")
            yield public or local
        finally:
            page.close(verbose=False)


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
