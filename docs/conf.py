"""How Sphinx makes the site: see docs/site.md."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

import reference
import site_parts

import minicnn

project = "minicnn"
author = "minicnn contributors"
copyright = "minicnn contributors"
release = version = minicnn.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "numpydoc",
    "site_parts",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # links to headings, as GitHub has them
suppress_warnings = [
    "ref.python",  # an attribute may be called like a module: numpydoc links to one of them
    "myst.header",  # a page may leave out a level of headings
]

default_role = "name"  # `name` in a docstring is a link where there is such a name
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
python_maximum_signature_line_length = 80
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = "minicnn"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_sidebars = {"gallery": [], "es/gallery": []}  # sections of a single page: nothing to choose from
html_copy_source = False
html_math_renderer = "mathml"
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_nav_level": 1,
    "navigation_depth": 3,
    "header_links_before_dropdown": 6,
    "article_footer_items": [],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "secondary_sidebar_items": ["page-toc"],
    "navbar_center": ["site-nav"],
    "navbar_end": ["other-language", "theme-switcher"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
templates_path = ["_templates"]

reference.write(DOCS)
site_parts.write_repository_pages(DOCS)
