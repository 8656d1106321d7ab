"""Settings of Sphinx for the site.  `docs/site/make.py` calls it."""

from __future__ import annotations

from pathlib import Path

from ocirun._base.version import VERSION

HERE = Path(__file__).resolve().parent

project = "ocirun"
author = "the ocirun authors"
release = version = VERSION
extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4  # as forges have them
nitpicky = False  # types of signatures are not links
smartquotes = False  # two dashes are those of an option
# What is a date or a count of this build would differ from build to build.
html_last_updated_fmt = None
html_copy_source = html_show_sourcelink = False
html_show_copyright = False
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

highlight_language = "none"  # of blocks that name none
pygments_style = "tango"
pygments_dark_style = "github-dark"

# furo: light and dark by the reader's setting, with a switch; narrow screens; no font or script from elsewhere.
html_theme = "furo"
html_title = f"ocirun {VERSION}"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": False}
