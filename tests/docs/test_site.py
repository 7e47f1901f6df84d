"""The documentation builds without a warning, its links and anchors are right, and its notebook runs."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(once) -> Path:
    def build(folder: Path) -> None:
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs"]
        # Executed here, not taken from the cache of an earlier build.
        fresh = ["-D", "nb_execution_mode=force", "-d", str(folder / "doctrees")]
        built = subprocess.run(
            [*command, *fresh, str(ROOT), str(folder / "html")], cwd=ROOT, capture_output=True, text=True
        )
        assert built.returncode == 0, built.stderr

    return once("site", build) / "html"


class Links(HTMLParser):
    """The targets of links and pictures of a page, and its anchors."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.anchors: set[str] = {""}
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        self.anchors.add(known.get("id") or "")
        target = known.get("href") if tag == "a" else known.get("src") if tag == "img" else None
        if target and "://" not in target and not target.startswith(("mailto:", "data:")):
            self.targets.add(target)


def test_no_link_of_the_site_leads_nowhere(site):
    pages = {page.resolve(): Links(page) for page in site.rglob("*.html")}
    broken = []
    for page, links in pages.items():
        for target in links.targets:
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (file in pages and anchor not in pages[file].anchors):
                broken.append(f"{page.relative_to(site)}: {target}")
    assert not broken
    assert len(pages) > 40


def test_the_reference_has_the_public_names_and_verbs(site):
    from avae import __all__ as public
    from avae.cli import VERBS

    python = (site / "docs" / "reference" / "python.html").read_text(encoding="utf-8")
    assert [name for name in public if f'id="avae.{name}"' not in python] == []
    commands = (site / "docs" / "reference" / "command-line.html").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"usage: avae {verb}" not in commands] == []


def test_the_home_page_shows_a_picture_first(site):
    home = (site / "docs" / "index.html").read_text(encoding="utf-8")
    article = home[home.index("<article") :]
    assert 0 < article.index("home.png") < article.index("<table")
    assert "docs/index.html" in (site / "index.html").read_text(encoding="utf-8")


def test_the_notebook_ran(site):
    page = (site / "docs" / "tutorials" / "first-steps.html").read_text(encoding="utf-8")
    assert "mse_decoder" in page[page.index("cell_output") :]
    assert page.count('alt="../../_images/') == 2
