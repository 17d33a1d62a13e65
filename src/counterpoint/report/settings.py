"""The settings of a run as rows and trees of text."""

from collections.abc import Mapping
from typing import Any

from counterpoint.report.numbers import duration
from counterpoint.report.run import Run

__all__ = ["compact", "environment", "flat", "pace", "parts", "text"]

WORDS = {
    "lr": "learning rate",
    "cpus": "processors",
    "std": "standard deviation",
    "measured_seconds": "seconds per step",
}


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Names and texts of a dictionary, those of nested ones under their joined names."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if value is None:
            continue
        if isinstance(value, Mapping) and "part" not in value and any(isinstance(v, Mapping) for v in value.values()):
            rows.extend(flat(value, f"{prefix}{key} "))
        else:
            rows.append((prefix + WORDS.get(str(key), str(key).replace("_", " ")), text(value)))
    return rows


def text(value: Any) -> str:
    """A setting as a person reads it."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}" if abs(value) >= 10_000 else str(value)
        case float():
            return f"{value:.6g}"
        case list() | tuple():
            return ", ".join(text(item) for item in value)
        case Mapping():
            named = str(value.get("part", "")).rpartition(":")[2]
            return named or "; ".join(f"{key} {text(item)}" for key, item in value.items()) or "–"
        case _:
            return str(value)


def compact(value: Any, most: int = 140) -> str:
    """A setting on one line: a part as it would be written, `MLPHead(hidden 32, out 128)`.

    Args:
        value: from recipe.json.
        most: characters; what is longer is cut off.
    """
    said = _nested(value)
    return said if len(said) <= most else f"{said[: most - 1].rstrip(' ,(')}…"


def _nested(value: Any) -> str:
    if isinstance(value, Mapping):
        name = str(value.get("part", "")).rpartition(":")[2]
        inside = ", ".join(f"{key} {_nested(item)}" for key, item in value.items() if key != "part")
        return f"{name}({inside})" if name and inside else name or inside or "–"
    if isinstance(value, list):
        return f"[{', '.join(map(_nested, value))}]"
    return text(value)


def parts(value: Any) -> list[tuple[str, str, Any]]:
    """The fields of a part: name, text, and the nested parts below it (None for a plain value)."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    rows: list[tuple[str, str, Any]] = []
    for key, item in items:
        if key == "part":
            continue
        nested = isinstance(item, Mapping) or (isinstance(item, list) and any(isinstance(i, Mapping) for i in item))
        name = str(key + 1) if isinstance(key, int) else str(key).replace("_", " ")
        if nested:
            head = str(item.get("part", "")).rpartition(":")[2] if isinstance(item, Mapping) else ""
            rows.append((name, head, item))
        else:
            rows.append((name, text(item), None))
    return rows


def environment(run: Run) -> list[tuple[str, str]]:
    """Machine, numerics, seed, time and pace."""
    end = run.log.end or {}
    rows = list((dict(flat(run.section("environment"))) | dict(flat(run.section("engine")))).items())
    if "seed" in run.recipe:
        rows.append(("seed", str(run.recipe["seed"])))
    if isinstance(end.get("seconds"), int | float):
        name = "time since taken up again" if run.log.resumed else "time of training"
        rows.append((name, duration(float(end["seconds"]))))
    rate = pace(run)
    if rate is not None:
        rows.append(("images per second", f"{rate:,.0f}"))
    return rows


def pace(run: Run) -> float | None:
    """Images per second, the median over the logged steps; None where the log does not say."""
    rates = [float(r) for s in run.log.steps if isinstance(r := s.get("images_per_second"), int | float)]
    return sorted(rates)[len(rates) // 2] if rates else None
