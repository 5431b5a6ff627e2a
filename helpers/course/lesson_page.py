"""An executed notebook as one light HTML page: no scripts, and nothing is fetched.

A page shows what a user's own files say (titles, captions), so all HTML passes an allow-list: text,
tables, images that the page itself holds.
"""

import re
from pathlib import Path

import bleach
from bleach.css_sanitizer import CSSSanitizer
from bs4 import BeautifulSoup
from jinja2 import pass_context
from jinja2.runtime import Context
from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode, from_dict
from pygments.formatters import HtmlFormatter

from helpers import paths
from helpers.course.index import render

WIDGET = "application/vnd.jupyter.widget-view+json"
TAGS = re.findall(r"\w+", """a abbr b blockquote br caption code col colgroup dd del details div dl
dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i img kbd li mark ol p pre s small span strong sub
summary sup table tbody td tfoot th thead tr u ul
math mfrac mi mn mo mover mrow mspace msqrt mroot mstyle msub msubsup msup mtable mtd mtext mtr
munder munderover mpadded mphantom menclose""")  # fmt: skip
MATH = ("display", "displaystyle", "mathvariant", "stretchy", "fence", "form", "accent", "xmlns")
ATTRIBUTES = {
    "*": ["class", "id", "title", "style"],
    "a": ["href"],
    "img": ["src", "alt", "width", "height"],
    "td": ["colspan", "rowspan"],
    "th": ["colspan", "rowspan", "scope"],
    "details": ["open"],
}
LINK = re.compile(r"https?:|mailto:|[^:]*$|[^:/?#]*[/?#]", re.IGNORECASE)  # or relative
HELD = ("data:image/png;", "data:image/jpeg;", "data:image/svg+xml;")
IMG = re.compile(r"<img\b(?:\"[^\"]*\"|'[^']*'|[^'\">])*>", re.IGNORECASE)
NOTEBOOK = re.compile(r"(\w+)\.ipynb")
TEMPLATE = """{%- extends 'classic/base.html.j2' -%}
{% block input_group -%}
{%- if 'results.begin(' in cell.source -%}
<details><summary>Imports and set-up</summary>{{ super() }}</details>
{%- else -%}{{ super() }}{%- endif -%}
{%- endblock %}
"""
HEADING = re.compile(r'<h2 id="([^"]+)">(.*?)<a class="anchor-link"', re.DOTALL)


def _allow(tag: str, name: str, value: str) -> bool:
    """Whether an attribute may stay: an image only where the page holds it itself."""
    if tag == "img" and name == "src":
        return value.startswith(HELD)
    if name == "href":
        return LINK.match(value.strip()) is not None
    mathematical = tag.startswith("m") and name in MATH
    return mathematical or name in ATTRIBUTES.get(tag, ()) or name in ATTRIBUTES["*"]


def sanitize(fragment: str) -> str:
    """HTML with nothing but text, tables, images held in place and harmless styles.

    >>> sanitize("<b>soup</b><script>alert(1)</script>")
    '<b>soup</b>'
    """
    soup = BeautifulSoup(str(fragment), features="html.parser")
    for element in soup(["script", "style", "iframe", "object", "embed", "template"]):
        element.decompose()
    return bleach.clean(
        str(soup), tags=TAGS, attributes=_allow, css_sanitizer=CSSSanitizer(),
        protocols=["http", "https", "mailto", "data"], strip=True,
    )  # fmt: skip


class _Renderer(IPythonRenderer):
    """Markdown with formulas as MathML, which needs no script, and links to pages of the run."""

    run: Path | None

    def _html_embed_images(self, html: str) -> str:
        """Tag by tag: a fragment such as ``<details>``, parsed alone, would be closed at once."""
        return IMG.sub(lambda tag: super(_Renderer, self)._html_embed_images(tag[0]), html)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """A link; to another lesson: its page, or the notebook's name where there is none."""
        lesson = NOTEBOOK.fullmatch(url)
        if lesson and self.run and (self.run / lesson[1] / "lesson.html").is_file():
            url = f"../{lesson[1]}/lesson.html"
        elif lesson:
            return f"{text} (<code>{url}</code>)"
        return super().link(text, url, title)

    def block_math(self, body: str) -> str:
        return convert(body, display="block")

    def inline_math(self, body: str) -> str:
        return convert(body)


class _Page(HTMLExporter):
    """nbconvert's exporter with formulas as MathML and pictures held by the page."""

    run: Path | None  # the folder with the pages of other lessons

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        renderer = _Renderer(
            escape=False, embed_images=True, path=str(paths.notebooks()),
            exclude_anchor_links=False, attachments=context.get("cell", {}).get("attachments", {}),
        )  # fmt: skip
        renderer.run = self.run
        return MarkdownWithMath(renderer=renderer).render(source)


def to_html(notebook: NotebookNode, *, title: str, slug: str = "", run: Path | None = None) -> str:
    """The page of an executed notebook.

    Progress bars and other widgets, which need scripts, are left out. ``run`` is the folder with
    the pages of other lessons: it links to those before and after ``slug``.
    """
    cells = [
        {**cell, "outputs": [o for o in cell["outputs"] if WIDGET not in o.get("data", {})]}
        if "outputs" in cell else cell
        for cell in notebook.cells
    ]  # fmt: skip
    exporter = _Page(raw_template=TEMPLATE, sanitize_html=True)
    exporter.run = run
    exporter.log.setLevel("ERROR")
    exporter.register_filter("clean_html", sanitize)
    body, _ = exporter.from_notebook_node(from_dict({**notebook, "cells": cells}))
    styles = ("default", "github-dark")
    light, dark = (HtmlFormatter(style=style).get_style_defs(".highlight") for style in styles)
    return render(
        "lesson.html.j2", title=title, body=body, headings=HEADING.findall(body),
        beside=_beside(slug, run) if run else [],
        style=f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}",
    )  # fmt: skip


def _beside(slug: str, run: Path) -> list[tuple[str, str]]:
    """The lessons before and after one that have pages, and what the links to them say."""
    others = sorted(page.parent.name for page in run.glob("[0-9][0-9]_*/lesson.html"))
    before, after = [n for n in others if n < slug], [n for n in others if n > slug]
    found = [("Previous", before[-1:]), ("Next", after[:1])]
    return [(name, f"{word}: lesson {name[:2]}") for word, names in found for name in names]
