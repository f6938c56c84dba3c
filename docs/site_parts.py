"""What Sphinx lacks for this site: pages of files outside docs/, formulas without a script, two languages, LeNet-5.

`conf.py` names this file as an extension.
"""

import gettext
import os
import re
from pathlib import Path

import sphinx
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from reference import as_prose, inherited, meant_by
from sphinx import addnodes

import minicnn as mc

OUTSIDE = {"README.md": "repository/readme.md", "benchmarks/README.md": "repository/benchmarks.md"}
"""File of the repository → its page, below docs/."""
SECTIONS = {
    "en": [
        ("learn", "Learn"),
        ("tutorials", "Tutorials"),
        ("reference/index", "Reference"),
        ("guide", "Guide"),
        ("gallery", "Gallery"),
    ],
    "es": [
        ("es/learn", "Aprender"),
        ("es/tutorials", "Tutoriales"),
        ("reference/index", "Referencia"),
        ("guide", "Guía"),
        ("es/gallery", "Galería"),
    ],
}
"""What stands at the head of each page."""
LINK = re.compile(r"(\]\()(?!https?:|#)([^)#\s]+)")


def write_repository_pages(docs):
    """Copy the files of `OUTSIDE` into Sphinx's source folder, with links that hold there.

    Parameters
    ----------
    docs : Path
    """
    for file, page in OUTSIDE.items():
        target, text = docs / page, _at_home_in(docs / page, docs.parent / file, docs)
        target.parent.mkdir(exist_ok=True)
        if not target.exists() or target.read_text("utf-8") != text:
            target.write_text(text, encoding="utf-8")


def _at_home_in(page, file, docs):
    """The text of a file with links that hold in `page`."""
    return LINK.sub(lambda link: link[1] + _from(page, file.parent / link[2], docs), file.read_text("utf-8"))


def _from(page, file, docs):
    """A link to a file of the repository, as it is written on a page below docs/."""
    file = file.resolve()
    inside = OUTSIDE.get(file.relative_to(docs.parent).as_posix()) if file.is_relative_to(docs.parent) else None
    return Path(os.path.relpath(docs / inside if inside else file, page.parent)).as_posix()


def _lead_to_pages(app, name, source):
    """In a page of docs/, links to the files of `OUTSIDE` become links to their pages."""
    docs, page = Path(app.srcdir), Path(app.env.doc2path(name))
    if page.suffix == ".md" and not name.startswith("repository/"):
        source[0] = LINK.sub(lambda link: link[1] + _to_page(page, link[2], docs), source[0])


def _to_page(page, link, docs):
    file = (page.parent / link).resolve()
    known = any(file == docs.parent / outside for outside in OUTSIDE)
    return _from(page, file, docs) if known else link


# ------------------------------------------------------------------------------------------------------ formulas


def _inline(writer, node):
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _display(writer, node):
    writer.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>\n')
    raise nodes.SkipNode


# ----------------------------------------------------------------------------------------------------- languages


def _speak(app, page, template, context, doctree):
    """Spanish pages say so to browsers and have Spanish buttons; each page links to the one in the other language."""
    spanish = page == "es" or page.startswith("es/")
    other = page.removeprefix("es/") if spanish else f"es/{page}"
    exists = other in app.env.all_docs
    context["sections"] = SECTIONS["es" if spanish else "en"]
    context["other_language"] = ("English", "en") if spanish else ("Español", "es")
    context["other_page"] = other if exists else "index" if spanish else "es/index"
    if spanish:
        context["language"] = "es"
        words = _words(app.config.html_theme)
        context.update(_=words.gettext, gettext=words.gettext, ngettext=words.ngettext)


def _words(theme):
    """Sphinx's own Spanish words, and the theme's."""
    catalogues = [Path(sphinx.__file__).parent / "locale", Path(__import__(theme).__file__).parent / "locale"]
    found = [gettext.translation("sphinx", folder, ["es"], fallback=True) for folder in catalogues]
    found[0].add_fallback(found[1])
    return found[0]


# --------------------------------------------------------------------------------------- the page that one draws on


def _write_lenet5(app, error):
    """Put the page of the learner's path beside the site's other files."""
    if error is None:
        model = mc.load_model(Path(app.srcdir, "lenet5.safetensors"))
        (x, y), _ = mc.datasets.digits.load_data(upscale=True)
        first = [int((y == digit).argmax()) for digit in range(10)]
        page = Path(app.outdir, "_static", "lenet5.html")
        mc.export_html(model, page, examples=x[first, ..., None] / 255, title="LeNet-5")


def _add_inherited(app, what, name, value, options, lines):
    """The arguments that a class shares with its bases, where the docstring leaves them to these."""
    extra = inherited(value) if what == "class" and lines else []
    if extra and "Parameters" not in lines:
        following = next((n for n, line in enumerate(lines) if line.startswith("---")), len(lines) + 1) - 1
        lines[following:following] = ["", "Parameters", "----------", *extra, ""]
    elif extra:
        start = lines.index("Parameters") + 2
        following = next((n for n in range(start, len(lines)) if lines[n].startswith("---")), len(lines) + 1) - 1
        lines[following:following] = [*extra, ""]


def _take_for_prose(app, what, name, obj, options, lines):
    lines[:] = [line if line.lstrip().startswith((">>>", "..", ":")) else as_prose(line) for line in lines]


def _name(role, rawtext, text, lineno, inliner, options=None, content=()):
    """`text` in a docstring: code, and a link where it is a public name."""
    code, target = nodes.literal(rawtext, text), meant_by(text)
    if target is None:
        return [code], []
    link = addnodes.pending_xref(rawtext, code, refdomain="py", reftype="obj", reftarget=target, refexplicit=True)
    return [link], []


def setup(app):
    """Sphinx calls this."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    app.add_role("name", _name)
    app.connect("autodoc-process-docstring", _add_inherited, priority=100)  # before numpydoc
    app.connect("autodoc-process-docstring", _take_for_prose, priority=900)  # after numpydoc
    app.connect("source-read", _lead_to_pages)
    app.connect("html-page-context", _speak)
    app.connect("build-finished", _write_lenet5)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
