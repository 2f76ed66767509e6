"""One self-contained HTML file from a template, and what such a page is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from ...runtime.files import whole
from .tables import Table


@dataclass(frozen=True)
class Figure:
    """A plot, and what to read from it."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Part:
    """A part of a page, in the order in which it is shown; `legend`: what is drawn -> its colour."""

    title: str
    text: str = ""
    legend: Mapping[str, str] = field(default_factory=dict)
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()


def write_page(template: str, path: Path, **facts: Any) -> None:
    """Fill a template, which extends `page.html.j2`, and write it; folders on the way are made."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tonearm.bench.output"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    text = environment.get_template(template).render(facts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")
