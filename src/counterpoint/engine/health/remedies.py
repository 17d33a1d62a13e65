"""What usually helps against a finding, as settings that a run can be given, from what the run was given before."""

import shlex
from collections.abc import Mapping
from typing import Any, cast

from counterpoint.recipe import load_object

__all__ = ["flags", "remedy"]

Settings = dict[str, Any]

RATES = {"SGD": 0.05, "LARS": 1.0}  # a learning rate that suits, for others 1e-3
NARROW = 16  # a layer that is no wider can't carry more directions than this
CONTRAST = "counterpoint.objectives:Contrast(temperature=0.2)"
IN_BATCH = "counterpoint.negatives:InBatch"


def flags(settings: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """Settings as they are typed: a dial by its own flag, anything else by `--set`."""

    def text(value: Any) -> str:
        return shlex.quote("none" if value is None else f"{value:g}" if isinstance(value, float) else str(value))

    return " ".join(
        f"--{name.replace('_', '-')} {text(value)}" if name in _dials(recipe) else f"--set {name}={text(value)}"
        for name, value in settings.items()
    )


def remedy(name: str, recipe: Mapping[str, Any], health: Mapping[str, float]) -> tuple[str, Settings]:
    """One or two sentences, and settings by dial or path; empty where the fault lies elsewhere.

    Args:
        name: of the finding.
        recipe: recipe.json; as much of it as there is.
        health: the readings that the finding rests on.
    """
    return _REMEDIES[name](recipe, health)


# ---------------------------------------------------------------- what the run was given


def _dials(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], recipe.get("dials") or {})


def _at(recipe: Mapping[str, Any], path: str) -> Any:
    """The value of a part's field, None where there is none."""
    value: Any = recipe.get("parts") or {}
    for name in path.split("."):
        value = cast(Mapping[str, Any], value).get(name) if isinstance(value, Mapping) else None
    return value


def _kind(recipe: Mapping[str, Any], path: str) -> str:
    """`counterpoint.pairing:SameSample`, empty where it is unknown."""
    return str(_at(recipe, f"{path}.part") or "")


def _own(recipe: Mapping[str, Any], path: str, *names: str) -> bool:
    """Whether a part is known to be one of these classes of this library."""
    package, _, name = _kind(recipe, path).partition(":")
    return package.startswith("counterpoint.") and name in names


def _holding(recipe: Mapping[str, Any]) -> tuple[str, float]:
    """What the objective says keeps images apart (`types.Holding`), and its usual weight where that is one of it."""
    try:
        part = load_object(_kind(recipe, "objective"))
    except Exception:  # a part of somebody's own may be gone, or refuse to be imported: advice is given all the same
        return "", 0.0
    holds = str(getattr(part, "holds", ""))
    usual = getattr(part, holds, 0.0) if holds else 0.0  # a default is an attribute of the class
    return holds, float(usual) if isinstance(usual, int | float) else 0.0


def _knob(recipe: Mapping[str, Any], dial: str, path: str, value: Any) -> Settings:
    """By the dial where there is one that still decides, else by the path."""
    given = cast(Mapping[str, Any], recipe.get("settings") or {})
    shadowed = any(path == key or path.startswith(f"{key}.") for key in given)
    return {dial if dial in _dials(recipe) and not shadowed else path: value}


def _rate(recipe: Mapping[str, Any]) -> float | None:
    """The learning rate, at its peak."""
    value = _at(recipe, "optim.lr")
    if isinstance(value, Mapping):
        numbers = [v for k, v in cast(Mapping[str, Any], value).items() if k in ("start", "end", "value")]
        value = max((v for v in numbers if isinstance(v, int | float)), default=None)
    return float(value) if isinstance(value, int | float) else None


def _usual_rate(recipe: Mapping[str, Any]) -> float:
    return RATES.get(_kind(recipe, "optim").rpartition(":")[2], 1e-3)


def _set_rate(recipe: Mapping[str, Any], rate: float) -> Settings:
    moving = isinstance(_at(recipe, "optim.lr"), Mapping)
    return _knob(recipe, "lr", "optim.lr.start" if moving else "optim.lr", rate)


def _slower(recipe: Mapping[str, Any]) -> Settings:
    """A learning rate that suits, or a tenth of one that should have."""
    now, usual = _rate(recipe), _usual_rate(recipe)
    return _set_rate(recipe, usual if now is None or now > 3 * usual else float(f"{now / 10:.1g}"))


def _decay(recipe: Mapping[str, Any]) -> Settings:
    """A usual weight decay, where the present one shrinks the weights as fast as a step moves them."""
    decay = _at(recipe, "optim.weight_decay")
    limit = 0.01 if _kind(recipe, "optim").rpartition(":")[2] != "AdamW" else 1.0
    return {"optim.weight_decay": 1e-4} if isinstance(decay, int | float) and decay > limit else {}


def _temperature(recipe: Mapping[str, Any], value: float) -> Settings:
    return _knob(recipe, "temperature", "objective.temperature", value)


def _widened(recipe: Mapping[str, Any]) -> Settings:
    """Layers of the encoder and the projector that are too narrow for more than a few directions."""
    found: Settings = {}

    def look(path: str, part: Any) -> None:
        for name, value in cast(Mapping[str, Any], part).items() if isinstance(part, Mapping) else ():
            if isinstance(value, Mapping):
                look(f"{path}.{name}", value)
            elif name in ("hidden", "stages") and isinstance(value, list | tuple):
                widths = cast("list[int]", list(cast(Any, value)))
                if any(w <= NARROW for w in widths):
                    found[f"{path}.{name}"] = tuple(max(w, 128) for w in widths)
            elif name in ("hidden", "out", "width") and isinstance(value, int) and value <= NARROW:
                found[f"{path}.{name}"] = 128

    look("encoder", _at(recipe, "encoder"))
    look("heads", _at(recipe, "heads"))
    return found


# ---------------------------------------------------------------- the findings


def _no_positives(recipe: Mapping[str, Any], health: Mapping[str, float]) -> tuple[str, Settings]:
    if _own(recipe, "negatives", "Gated"):
        return "A larger batch, with labels of more of its images and more pairs of classes allowed.", {}
    views = _at(recipe, "views.policies")
    facts = cast(Mapping[str, Any], recipe.get("facts") or {})
    if isinstance(views, list | tuple) and len(cast(Any, views)) == 1 and facts:
        from counterpoint.views import default

        size, channels = int(facts["size"]), int(facts["channels"])
        policy = default(str(facts["kind"]), size=size, channels=channels)
        made = f'counterpoint.views:named(name="{policy}", size={size}, channels={channels})'
        settings: Settings = {"views": made}
        if not _own(recipe, "pairing", "SameSample"):
            settings["pairing"] = "counterpoint.pairing:SameSample"
        return "Two views of each image give every anchor a positive; else more images of each class in a batch.", (
            settings
        )
    if _own(recipe, "pairing", "SameSample"):
        return "Give each image two views, and each view a column among the candidates.", {"negatives": IN_BATCH}
    return (
        "Views of one image as positives need no labels; else use a larger batch, or label more of the images.",
        {"pairing": "counterpoint.pairing:SameSample"},
    )


def _exploding(recipe: Mapping[str, Any], health: Mapping[str, float]) -> tuple[str, Settings]:
    return (
        "A lower learning rate; then a longer warm-up, or clipping the gradient (--set optim.clip_norm=1).",
        _slower(recipe),
    )


def _vanishing(recipe: Mapping[str, Any], health: Mapping[str, float]) -> tuple[str, Settings]:
    settings: Settings = {}
    limit, gradient = _at(recipe, "optim.clip_norm"), health.get("grad_norm", 1.0)
    if isinstance(limit, int | float) and limit < 1e-2 * gradient:
        settings["optim.clip_norm"] = None
    now, usual = _rate(recipe), _usual_rate(recipe)
    if now is not None and now < 1e-2 * usual:
        settings |= _set_rate(recipe, usual)
    if settings:
        return "Let the updates through: a learning rate of a usual size, and a gradient that is not clipped away.", (
            settings
        )
    if health.get("chance") == 1.0:
        return "Each anchor is compared with its positive alone, so that nothing can be wrong; give it negatives.", {
            "negatives": IN_BATCH
        }
    return (
        "No gradient arrives although the learning rate is of a usual size: look for a detach, a frozen encoder, "
        "or an objective that does not depend on the rows.",
        {},
    )


def _saturated(recipe: Mapping[str, Any], health: Mapping[str, float]) -> tuple[str, Settings]:
    value = 0.2 if _own(recipe, "score", "Cosine") else 1.0
    hot = health.get("reach", 1.0) < 1
    said = "A lower" if hot else "A higher"
    return f"{said} temperature: from 0.05 to 1 suits cosines, 1 suits plain products.", _temperature(recipe, value)


def _one_prototype(recipe: Mapping[str, Any], health: Mapping[str, float]) -> tuple[str, Settings]:
    if _own(recipe, "negatives", "Prototypes"):
        if not _at(recipe, "negatives.iterations"):
            return "Nothing shares the prototypes out, as Sinkhorn has no iterations: give it some.", (
                {"negatives.iterations": 3}
            )
        return "More iterations share the prototypes out more evenly; then a lower learning rate.", (
            {"negatives.iterations": 10}
        )
    if _own(recipe, "negatives", "Centred"):
        momentum = _at(recipe, "negatives.momentum")
        if not isinstance(momentum, int | float) or momentum > 0.9:
            return "The centre hardly moves, or never (momentum 1), so that one output can win everywhere: move it.", (
                {"negatives.momentum": 0.9}
            )
        return "A higher temperature of the target sharpens less; then a lower learning rate.", _sharpened(recipe, 0.7)
    return "Share the prototypes out evenly among the images of a batch, as Sinkhorn or a centre does.", {}


def _uniform(recipe: Mapping[str, Any], health: Mapping[str, float]) -> tuple[str, Settings]:
    if _own(recipe, "negatives", "Prototypes"):
        epsilon = _at(recipe, "negatives.epsilon")
        if isinstance(epsilon, int | float) and epsilon > 0.05:
            return "The codes are too smooth: lower their epsilon.", _knob(recipe, "epsilon", "negatives.epsilon", 0.05)
    elif _own(recipe, "negatives", "Centred") and _unsharpened(recipe):
        return (
            "Nothing sharpens the target, as its temperature is about that of the prediction: lower it to less than "
            "half of that.",
            _sharpened(recipe, 0.4),
        )
    return (
        "All images look alike to the prototypes: sharper targets, views that keep more of the image, or a lower "
        "learning rate.",
        _slower(recipe),
    )


def _unsharpened(recipe: Mapping[str, Any]) -> bool:
    """Whether the target's temperature is about that of the prediction, or comes to it."""
    whole, now = _at(recipe, "objective.temperature"), _at(recipe, "negatives.temperature")
    now = cast(Mapping[str, Any], now).get("end") if isinstance(now, Mapping) else now
    return isinstance(whole, int | float) and isinstance(now, int | float) and now > 0.8 * whole


def _sharpened(recipe: Mapping[str, Any], share: float) -> Settings:
    """The target's temperature as a share of the prediction's; nothing where that is no number."""
    whole = _at(recipe, "objective.temperature")
    if not isinstance(whole, int | float):
        return {}
    value = float(f"{share * whole:.2g}")
    if not isinstance(_at(recipe, "negatives.temperature"), Mapping):
        return {"negatives.temperature": value}
    return {
        **_knob(recipe, "target_temperature", "negatives.temperature.start", value),
        **_knob(recipe, "target_temperature_end", "negatives.temperature.end", value),
    }


def _at_ceiling(recipe: Mapping[str, Any], health: Mapping[str, float]) -> tuple[str, Settings]:
    settings: Settings = {}
    centres = _own(recipe, "negatives", "Centres")
    if _own(recipe, "negatives", "Gated"):
        if _at(recipe, "heads.projector.final_norm") == "batch":
            return "Under gates a projector that ends in BatchNorm hardly trains: end it in LayerNorm.", (
                _knob(recipe, "norm", "heads.projector.final_norm", "layer")
            )
        # Gates need the classes of a pair; those of one class surely belong together.
        if _at(recipe, "pairing.own") != 1:
            settings["pairing"] = "counterpoint.pairing:ArbitraryPairs(own=1.0)"
    elif not _own(recipe, "pairing", "SameSample") and not (centres and _own(recipe, "pairing", "SameClass")):
        settings["pairing"] = f"counterpoint.pairing:{'SameClass' if centres else 'SameSample'}"
    if "negative" not in health and "codes" not in health:
        settings["negatives"] = IN_BATCH
    if settings:
        return "Check that what is paired belongs together; pairs that surely do are tried by these settings.", settings
    if _decay(recipe):
        return "Weight decay holds the weights at nothing: lower it.", _decay(recipe)
    now = _rate(recipe)
    if now is not None and now > 3 * _usual_rate(recipe):
        return "The learning rate is high, and may have broken the network in its first steps: lower it.", (
            _slower(recipe)
        )
    return (
        "Check that the pairs, or the labels, belong together, and that the views leave something of the image "
        "(counterpoint views shows them).",
        {"policy": "objects"} if "policy" in _dials(recipe) else {},
    )


def _collapsed(recipe: Mapping[str, Any], health: Mapping[str, float]) -> tuple[str, Settings]:
    settings: Settings = {}
    if _at(recipe, "objective.mining") == "hard":
        return "The hardest negatives of a batch draw all rows to one point: take semi-hard ones.", (
            _knob(recipe, "mining", "objective.mining", "semi-hard")
        )
    if _own(recipe, "objective", "CosineRegression"):
        return _unheld(recipe) or _held_back(recipe)
    holds, usual = _holding(recipe)
    if holds not in ("", "negatives"):
        now = _at(recipe, f"objective.{holds}")
        if isinstance(now, int | float) and now < usual / 10:
            return f"Nothing holds different images apart, as the weight of {holds} is {now:g}: raise it.", (
                _knob(recipe, holds, f"objective.{holds}", usual)
            )
        return _held_back(recipe)
    if "codes" in health:
        return _held_back(recipe)
    if not holds:
        settings["objective"] = CONTRAST
    if "negative" not in health:
        settings["negatives"] = IN_BATCH
    if settings:
        return (
            "Nothing holds different images apart: give the anchors negatives and an objective that repels them, or a "
            "target that is not trained (a stop-gradient) with a predictor.",
            settings,
        )
    return _held_back(recipe)


def _unheld(recipe: Mapping[str, Any]) -> tuple[str, Settings] | None:
    """What a regression of one view on another lacks, so that nothing holds different images apart."""
    width = _at(recipe, "heads.projector.out")
    trained, plain = _own(recipe, "target", "Same"), not _kind(recipe, "heads.predictor") and isinstance(width, int)
    if trained and plain:
        return (
            "Nothing holds different images apart: give the anchors negatives and an objective that repels them, or a "
            "target that is not trained (a stop-gradient) with a predictor.",
            {"objective": CONTRAST, "negatives": IN_BATCH},
        )
    if trained:
        return "Nothing holds different images apart: there are no negatives, and the target has no stop-gradient.", {
            "target": "counterpoint.targets:StopGradient"
        }
    if plain:
        return "Nothing holds different images apart: there are no negatives, and no predictor.", {
            "heads.predictor": f"counterpoint.heads:MLPHead(({max(width // 4, 32)},), {width})"
        }
    return None


def _held_back(recipe: Mapping[str, Any]) -> tuple[str, Settings]:
    """Where something holds the rows apart, but not enough."""
    if _decay(recipe):
        return "Weight decay shrinks the weights faster than the loss moves them: lower it.", _decay(recipe)
    if _widened(recipe):
        return "A layer is so narrow that its few units may all be dead: widen it.", _widened(recipe)
    return "A lower learning rate with a warm-up; then a lower temperature or a larger batch.", _slower(recipe)


def _few_directions(recipe: Mapping[str, Any], health: Mapping[str, float]) -> tuple[str, Settings]:
    settings = _widened(recipe)
    if settings:
        return "A layer is so narrow that only a few directions can pass: widen it.", settings
    if _decay(recipe):
        return "Weight decay shrinks all directions but the strongest: lower it.", _decay(recipe)
    unheld = _unheld(recipe) if _own(recipe, "objective", "CosineRegression") else None
    if unheld:
        return unheld
    temperature = _at(recipe, "objective.temperature")
    if isinstance(temperature, int | float) and temperature > 0.2 and _own(recipe, "score", "Cosine"):
        return (
            "A lower temperature pushes the rows apart harder; then views that keep more of the image.",
            _temperature(recipe, 0.1),
        )
    return (
        "Views that keep more of the image, a lower learning rate, or a projector between representation and loss.",
        _slower(recipe),
    )


_REMEDIES = {
    "no-positives": _no_positives,
    "exploding-updates": _exploding,
    "vanishing-updates": _vanishing,
    "saturated-temperature": _saturated,
    "one-prototype": _one_prototype,
    "uniform-assignments": _uniform,
    "loss-at-ceiling": _at_ceiling,
    "complete-collapse": _collapsed,
    "dimensional-collapse": _few_directions,
}
