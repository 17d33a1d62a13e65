"""Values into one self-contained file: template, style and scripts inlined, no address outside it."""

import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from counterpoint.report.charts import Chart, draw
from counterpoint.report.settings import parts

__all__ = ["drawn", "render", "safe"]


def render(name: str, scripts: Sequence[str], context: Mapping[str, Any]) -> str:
    """A template of this package with the style and the scripts written into it.

    Args:
        name: of the template, `page` or `compare`.
        scripts: files that it runs, in order.
        context: what the template shows.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined
    from markupsafe import Markup

    here = files("counterpoint.report")

    def source(file: str) -> str:
        return (here / file).read_text(encoding="utf-8")

    templates = {file: source(file) for file in ("pieces.html", f"{name}.html")}
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=DictLoader(templates)
    )
    environment.filters["parts"] = parts
    environment.filters["shell"] = shlex.quote
    environment.filters["marked"] = _marked
    script = "\n".join(map(source, scripts))
    template = environment.get_template(f"{name}.html")
    return template.render(css=Markup(source("page.css")), js=Markup(script), **context)


def _marked(text: str) -> Any:
    """Escaped, and what stands between backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def safe(value: Any) -> Any:
    """JSON that may stand inside a script element: no character that could end it, no NaN."""
    from markupsafe import Markup

    text = json.dumps(_finite(value), separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


def drawn(charts: Sequence[Chart]) -> list[dict[str, Any]]:
    """The charts that have a point to draw, with their SVG."""
    from markupsafe import Markup

    made = [{"chart": chart, "svg": Markup(draw(chart))} for chart in charts]
    return [item for item in made if item["svg"]]
