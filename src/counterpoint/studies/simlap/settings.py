"""SimLAP's settings, one at a time: optimizer, width, temperature, gate penalty, and the projector's last norm.

What it costs: 11 runs for each seed, of which the default is that of every study of SimLAP on the same data, and those
of the gate penalties are of the study of gates. A run of the usual budget takes 200 s of one core with `conv` at full
scale and 50 s at small scale, reading one about 40 s for three targets and the source: 2.2 hours of one core for three
seeds at full scale, .3 hours for each seed at small scale.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from counterpoint.studies.cells import dials_of
from counterpoint.studies.league.evaluators import Course
from counterpoint.studies.league.make import Planned
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.simlap.judged import OnSource, floors_of, judged_on
from counterpoint.studies.simlap.runs import dials_said, runs, sized
from counterpoint.studies.simlap.settings_claims import DEFAULT, setting_claims
from counterpoint.studies.simlap.settings_sections import About, setting_sections
from counterpoint.studies.study import SEEDS, Cell, Scale, Study
from counterpoint.studies.transfer import Target, Transfer
from counterpoint.types import Source

__all__ = ["Setting", "setting_cells", "settings_of", "simlap_settings"]

TEMPERATURES = (0.05, 0.1, 0.15)  # the last is the paper's default
BRIEFLY = ("default", "optimizer", "last norm")  # at smoke scale


@dataclass(frozen=True, eq=False)
class Setting:
    """One setting away from the default.

    Args:
        name: of what is set.
        value: on pages.
        dials: of the recipe.
        fields: any other field, by path.
    """

    name: str
    value: str
    dials: Mapping[str, Any] = field(default_factory=dict[str, Any])
    fields: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def place(self) -> dict[str, str]:
        """In the grid."""
        return {"setting": self.name, "value": self.value}


def simlap_settings(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    images: int | None = None,
    epochs: float | None = None,
    classes: str | Iterable[str] = (),
    targets: str | Sequence[Target] = "",
) -> Study:
    """SimLAP with one setting changed at a time, on its source and on other data; a run that fails has its row.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`, `small` (a quarter of the budget) or `smoke` (an epoch of few images, of an mlp, and fewer
            settings).
        seeds: of the runs; three at full scale, else one, where None.
        encoder: that all share; `conv`, or `mlp` at smoke scale, where None.
        images: trained on, equally many of each class; None: all.
        epochs: of a method of two views of an image; SimLAP gets as many views.
        classes: names of classes, super-classes or subsets that are kept, apart by `;`; none: all.
        targets: data that are transferred to, as `cifar10=FOLDER,emnist:letters=FOLDER`.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    plan = sized(source, scale=scale, encoder=encoder, images=images, epochs=epochs, classes=classes)
    judges = judged_on("simlap-settings", targets, scale)
    seeds = SEEDS[scale] if seeds is None else tuple(seeds)
    c = 0.01 if scale == "smoke" else None
    every = tuple(one for one in settings_of(plan) if scale != "smoke" or one.name in BRIEFLY)
    about = About(tuple((one.name, one.value) for one in every), tuple(target.label for target in judges))
    return Study(
        name="simlap-settings",
        title=f"SimLAP's settings on {plan.dataset.name}",
        about=_about(plan, judges),
        source="Wu et al. 2024, the ablations at 100 epochs, and the text on the projector's normalisation",
        cells=setting_cells(plan, every, seeds),
        evaluators=(
            Transfer(judges, c=c),
            *floors_of(partial(Transfer, judges, c=c), DEFAULT, seeds),
            OnSource(c=c),
            *floors_of(partial(OnSource, c=c), DEFAULT, seeds),
            Course(),
        ),
        claims=setting_claims(),
        sections=partial(setting_sections, about=about),
    )


def settings_of(plan: Planned) -> tuple[Setting, ...]:
    """The default, and one setting at a time away from it.

    LARS has the rate of the paper's preset, .05 for a batch of 256 in proportion to the batch, and ten times that: the
    paper's is for a far longer training. The default is the run of other studies, at a temperature that tuning may have
    chosen.

    Args:
        plan: data and sizes.
    """
    rate = 0.05 * plan.batch / 256
    tried = [t for t in TEMPERATURES if t != _default(plan)["temperature"]]
    return (
        Setting(DEFAULT["setting"], DEFAULT["value"]),
        *(Setting("optimizer", f"LARS, rate {lr:g}", fields=_lars(lr, plan)) for lr in (rate, 10 * rate)),
        *(Setting("width", str(width), {"width": width}) for width in (64, 1024)),
        *(Setting("temperature", f"{t:g}", {"temperature": t}) for t in tried),
        *(Setting("gate penalty", f"{penalty:g}", {"gate_penalty": penalty}) for penalty in (1e-2, 1e-1)),
        *(Setting("last norm", norm, {"norm": norm}) for norm in ("none", "batch")),
    )


def _default(plan: Planned) -> dict[str, Any]:
    """Dials of the default, the recipe's own among them."""
    (cell,) = runs(plan, ("simlap",), (0,))
    return {**dials_of("simlap"), **cell.dials}


def _lars(rate: float, plan: Planned) -> dict[str, str]:
    """As the paper's preset has it, with the recipe's warm-up."""
    warmup = min(10.0, 2 * plan.epochs / 10)
    return {
        "optim": f"counterpoint.optim:LARS({rate:g}, weight_decay=0.0001)",
        "optim.lr": f"counterpoint.schedules:Cosine({rate:g}, warmup_epochs={warmup:g})",
    }


def setting_cells(plan: Planned, every: Sequence[Setting], seeds: Sequence[int]) -> tuple[Cell, ...]:
    """The runs, seed by seed.

    Args:
        plan: data and sizes.
        every: the settings.
        seeds: of the runs.
    """
    return tuple(
        cell
        for seed in seeds
        for one in every
        for cell in runs(plan, ("simlap",), (seed,), place=one.place, dials=one.dials, settings=one.fields)
    )


def _about(plan: Planned, targets: Sequence[Target]) -> tuple[str, ...]:
    default = _default(plan)
    return (
        "The paper varies SimLAP's optimizer, width, temperature and gate penalty one at a time, and says that the "
        "projector must end in LayerNorm: without any norm the loss is no number, with BatchNorm training barely "
        "converges. The default here is the run that other studies have too: AdamW at a rate of "
        f"{default['lr']:g} for a batch of 256, a width of {default['width']}, a temperature of "
        f"{default['temperature']:g}, no penalty, LayerNorm.",
        f"All train the encoder `{plan.encoder}` on {len(plan.dataset.train):,} images of {plan.dataset.name} in "
        f"batches of {plan.batch}, until they have seen as many views as {plan.epochs:g} epochs of two views have; the "
        "paper trains for 100 epochs on ImageNet, so that directions may be compared and figures may not. LARS has the "
        "rate of the paper's preset and ten times that, since that rate is for a far longer training; the claim takes, "
        "seed by seed, the one that is better on the source, and is decided on other data.",
        "A run whose loss is no longer a number ends there. It keeps its row, with what was said of it. The doctor "
        "reads every run's own log, also one that ended so, and knows nothing of the accuracy.",
        "Judged by linear probe and by 10 nearest neighbours of the frozen h on the source's own test images and on "
        f"{', '.join(target.label for target in targets)}, which no encoder saw.",
        dials_said(plan, ("simlap",), targets),
        BLIND,
        "The doctor is not: its rule for a loss above that of equal scores was mended after the first runs of this "
        "study (small scale, Tiny ImageNet). Before, it found those with BatchNorm from step 110 on and took it back.",
    )
