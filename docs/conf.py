"""Sphinx configuration of the documentation site.

Build it from the repository root, where the pages of docs/ and the results of benchmarks/ lie:

    sphinx-build -c docs -W --keep-going . build/site

The sources are the repository, so links between pages, results and code are the same there and on the site.
"""

import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "avae"
version = release = installed_version("avae")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "command_help",
    "mathml",
]
root_doc = "docs/index"
include_patterns = ["docs/**", "benchmarks/results/**", "CONTRIBUTING.md", "CHANGELOG.md"]
exclude_patterns = [
    "docs/README.md",  # the list of pages for readers of the repository
    "docs/results/*/figure-*.md",  # captions
    "docs/results/*/tradeoff.md",
]

html_theme = "furo"
html_math_renderer = "mathml"
html_title = "avae"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_additional_pages = {"index": "to_home.html"}
templates_path = ["_templates"]
html_show_copyright = False
html_copy_source = False

myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

nb_execution_mode = "cache"
nb_execution_cache_path = "build/notebooks"
nb_execution_in_temp = True  # what it writes is not documentation
nb_execution_raise_on_error = True
nb_execution_timeout = -1
nb_execution_show_tb = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures keep short; docstrings give shapes and ranges
autodoc_default_options = {"members": True}
default_role = "code"  # single backticks in docstrings
napoleon_use_ivar = True
python_maximum_signature_line_length = 88


def _escape(app, what, name, obj, options, lines):
    """Keep symbols of the maths in docstrings, such as ||x||, from being read as markup."""
    for at, line in enumerate(lines):
        parts = re.split(r"(`+[^`]*`+)", line)
        parts[::2] = [re.sub(r"([|*])", r"\\\1", part) for part in parts[::2]]
        lines[at] = "".join(parts)


def setup(app):
    # Before napoleon, which adds markup of its own.
    app.connect("autodoc-process-docstring", _escape, priority=400)
