"""One self-contained HTML file from a template of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2


def write_page(template: str, path: Path, **facts: Any) -> None:
    """Fill a template, which extends `page.html.j2`, and write it; folders on the way are made."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tonearm.bench", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    text = environment.get_template(template).render(facts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
