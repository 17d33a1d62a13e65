"""Attributes of a run: trained on its frozen embeddings, measured, stored beside it, and asked of new images."""

import math
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoint import embed as embedding
from counterpoint import sources
from counterpoint.app.assess import dataset_of
from counterpoint.app.attributes import ByExample, Resolved, read_rules, resolve
from counterpoint.errors import RunError, SourceError
from counterpoint.evaluation.attribute_heads import Heads, Roles, divide_rows
from counterpoint.evaluation.auroc import auroc
from counterpoint.evaluation.calibration import expected_calibration_error, fit_temperature
from counterpoint.evaluation.probe import linear_probe
from counterpoint.evaluation.readability import Reading, read_attributes
from counterpoint.evaluation.resampling import bootstrap
from counterpoint.evaluation.valleys import agreement, find_valleys
from counterpoint.random import Streams
from counterpoint.recipe import part_from_json
from counterpoint.report.attributes import GAPS, UNIONS, interval_of, write_attributes
from counterpoint.run import Run
from counterpoint.serving import Association, Associator, Loaded, load, load_attributes, save_attributes
from counterpoint.types import Dataset, Embeddings, Images, Source, Split

__all__ = ["answer", "associate", "readings_of", "represented", "show_associations", "show_attributes"]

WIDTH = 150  # of the printed table, at least
PIXELS = 1024  # numbers of an image in the baseline, at most
PRESUMED = 200  # training images that stand for those without an attribute, where only examples with it are given
SAME = 64  # images that are embedded again to see whether stored embeddings are still those of the run


@dataclass(frozen=True, eq=False)
class _Data:
    """What heads are trained on and measured with: training rows, then test rows."""

    dataset: Dataset
    model: Loaded
    rows: Float[Tensor, "row width"]
    roles: Roles

    @property
    def train(self) -> int:
        return len(self.dataset.train)

    @property
    def shown(self) -> Tensor:
        """The rows whose images the page shows."""
        return self.rows[self.train :] if len(self.dataset.test) else self.rows[: self.train]

    @property
    def labels(self) -> Tensor | None:
        parts = [
            torch.full((len(split),), -1) if split.labels is None else split.labels
            for split in (self.dataset.train, self.dataset.test)
        ]
        found = torch.cat(parts)
        return found if self.dataset.classes and bool((found >= 0).any()) else None


def associate(
    run: Run | str | Path,
    attributes: Sequence[str | Path] | str | Path = (),
    *,
    discover: int = 0,
    source: str | Source | None = None,
    root: str | Path | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Associator:
    """Train heads for attributes on a run's frozen embeddings, and say which of them can be read.

    Writes attributes.safetensors and attributes.html into the run's folder, and embeddings.parquet where there is none.
    Attributes that were trained before stay where only planes are looked for, and the other way.

    Args:
        run: a finished run, or its folder.
        attributes: TOML and CSV files; `counterpoint.app.attributes` says how they are written.
        discover: planes to look for where the embeddings are thin, without labels.
        source: in place of the run's data: a name, a path, or a Source.
        root: where the data is now.
        seed: of all draws.
        quiet: say nothing on the way.

    Raises:
        RunError: no run, or not a finished one.
        SourceError: attributes that cannot be understood, or that the data cannot decide.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    paths = [attributes] if isinstance(attributes, str | Path) else list(attributes)
    if not paths and discover < 1:
        raise SourceError("there is nothing to do: name a file of attributes, or how many planes to discover")
    rules = read_rules([Path(path) for path in paths]) if paths else {}
    tell: Callable[[str], None] = (lambda text: None) if quiet else (lambda text: print(f"  {text}", file=sys.stderr))
    model = load(run.folder)
    own = source is None and root is None
    dataset = dataset_of(run.recipe()) if own else _other(run, source, root)
    resolved = resolve(rules, dataset) if rules else None
    tell("embedding")
    rows = represented(run, model, dataset, own=own)
    roles = divide_rows(len(dataset.train), len(dataset.test), groups=_groups(dataset), seed=seed)
    data = _Data(dataset, model, rows, roles)
    before = _before(run)
    found = _start(data, before, seed, tell)
    if resolved is not None:
        tell(f"training heads for {len(resolved.names)} attributes, and for random ones beside them")
        found = _with_attributes(found, data, resolved, seed)
        found = replace(found, about={**found.about, "files": [str(path) for path in paths]})
    if discover > 0:
        tell(f"looking for {discover} planes")
        found = _with_planes(found, data, resolved, discover, seed)
    save_attributes(run.folder, found)
    shown = data.shown
    write_attributes(
        run.folder / "attributes.html",
        found.about,
        readings_of(found),
        images=dataset.test.images if len(dataset.test) else dataset.train.images,
        probabilities=(shown @ found.weight.T + found.bias).sigmoid(),
        truths=None if resolved is None else resolved.targets[-len(shown) :],
        distances=shown @ found.plane_weight.T + found.plane_bias,
        command=_command(run, found.about, source, root),
    )
    return found


def _groups(dataset: Dataset) -> Tensor | None:
    found = [split.groups for split in (dataset.train, dataset.test) if len(split)]
    known = [one for one in found if one is not None]
    return torch.cat(known) if len(known) == len(found) else None


def _other(run: Run, source: str | Source | None, root: str | Path | None) -> Dataset:
    """The run's data at another place, or other data."""
    if source is None:
        stored = part_from_json(run.recipe()["source"])
        if "root" not in stored.__dataclass_fields__:
            raise SourceError(f"the data of {run.folder} ({type(stored).__name__}) takes no root; leave out --root")
        return replace(stored, root=str(Path(cast(Any, root)).expanduser().absolute())).load()
    wanted = sources.lookup(source, root=None if root is None else str(root)) if isinstance(source, str) else source
    return wanted.load()


def _encoded(model: Loaded, images: Tensor | Images) -> Tensor:
    parts = [torch.from_numpy(model.embed(images[i : i + 1024])) for i in range(0, len(images), 1024)]
    return torch.cat([torch.zeros(0, model.width), *parts])


def represented(run: Run, model: Loaded, dataset: Dataset, *, own: bool) -> Tensor:
    """Embeddings of all training and test images: the stored ones where they are still these, else made and stored."""
    splits = {"train": dataset.train, "test": dataset.test}
    stored = embedding.read_representation(run.embeddings) if own and run.embeddings.is_file() else {}
    if all(_same(model, split, stored.get(name)) for name, split in splits.items()):
        return torch.cat([stored[name] for name, split in splits.items() if len(split)])
    made = {name: _encoded(model, split.images) for name, split in splits.items()}
    if own:
        parts = {
            name: Embeddings(made[name], torch.arange(len(split)), labels=split.labels, classes=dataset.classes)
            for name, split in splits.items()
            if len(split)
        }
        embedding.write_embeddings(run.embeddings, parts)
    return torch.cat(list(made.values()))


def _same(model: Loaded, split: Split, stored: Tensor | None) -> bool:
    if not len(split):
        return True
    if stored is None or stored.shape != (len(split), model.width):
        return False
    some = torch.arange(min(SAME, len(split))) * len(split) // min(SAME, len(split))
    made = _encoded(model, split.images[some])
    return bool((made - stored[some]).norm() <= 0.02 * made.norm())  # training may have computed in bfloat16


def _before(run: Run) -> Associator | None:
    """What was trained before, where it is still of use."""
    try:
        return load_attributes(run.folder)
    except RunError:
        return None


def _start(data: _Data, before: Associator | None, seed: int, tell: Callable[[str], None]) -> Associator:
    """What was there before, or the classes alone."""
    width = data.model.width
    about: dict[str, Any] = {
        "dataset": data.dataset.name,
        "train": len(data.dataset.train),
        "test": len(data.dataset.test),
        "roles": data.roles.said,
        "seed": seed,
    }
    if before is not None and all(before.about.get(key) == value for key, value in about.items()):
        return before
    if before is not None and before.names:
        tell("the attributes that were there are of other data, and are replaced")
    classes, weight, bias, measured = _classes(data, seed)
    return Associator(
        encoder=data.model,
        names=(),
        weight=torch.zeros(0, width),
        bias=torch.zeros(0),
        classes=classes,
        class_weight=weight,
        class_bias=bias,
        planes=(),
        plane_weight=torch.zeros(0, width),
        plane_bias=torch.zeros(0),
        about={**about, "label": measured, "readings": [], "told": {}, "files": [], "valleys": [], "sought": 0},
    )


def _classes(data: _Data, seed: int) -> tuple[tuple[str, ...], Tensor, Tensor, dict[str, Any] | None]:
    """A linear classifier of the classes, its probabilities set by temperature on held-out rows."""
    labels, roles = data.labels, data.roles
    width = data.model.width
    nothing = (), torch.zeros(0, width), torch.zeros(0), None
    if labels is None:
        return nothing
    fit, held, test = (part[labels[part] >= 0] for part in (roles.fit, roles.calibrate, roles.test))
    if not len(held) or not len(test) or len(labels[fit].unique()) < 2:
        return nothing
    probe = linear_probe(data.rows[fit], data.rows[held], labels[fit], labels[held], seed=seed)
    temperature = fit_temperature(probe.logits, labels[held])
    count = len(data.dataset.classes)
    weight, bias = torch.zeros(count, width), torch.full((count,), -math.inf)
    folded = (probe.weight / probe.scale / temperature).double()
    weight[: len(folded)] = folded.float()
    bias[: len(folded)] = (probe.bias / temperature - folded @ probe.mean.double()).float()
    chance = (data.rows[test] @ weight.T + bias).softmax(1)
    said, guess = chance.max(1)
    right = (guess == labels[test]).long()
    measured = {
        "rows": len(test),
        "accuracy": _listed(bootstrap(right.double(), seed=seed)),
        "error": expected_calibration_error(said.double(), right),
    }
    return data.dataset.classes, weight, bias.clamp_min(-1e30), measured


def _listed(estimate: Any) -> list[float]:
    return [estimate.value, estimate.low, estimate.high]


def _with_attributes(found: Associator, data: _Data, resolved: Resolved, seed: int) -> Associator:
    rows, targets, roles = data.rows, resolved.targets, data.roles
    labels = data.labels
    pixels = _pixels(data.dataset)
    for name, rule in resolved.examples.items():
        more, answers, positions = _exampled(rule, data, seed, name)
        column = resolved.names.index(name)
        targets = targets.clone()
        targets[positions, column] = 0
        added = torch.full((len(more), len(resolved.names)), -1)
        added[:, column] = answers
        fit = torch.cat((roles.fit, torch.arange(len(rows), len(rows) + len(more))))
        rows, targets = torch.cat((rows, _encoded(data.model, more))), torch.cat((targets, added))
        pixels = torch.cat((pixels, _flat(more, pixels.shape[1])))
        labels = None if labels is None else torch.cat((labels, torch.full((len(more),), -1)))
        roles = replace(roles, fit=fit)
    heads, readings = read_attributes(
        resolved.names,
        rows,
        pixels,
        targets,
        roles,
        labels=labels,
        classes=len(data.dataset.classes),
        members=resolved.members,
        seed=seed,
    )
    about = {**found.about, "readings": [one.to_json() for one in readings], "told": dict(resolved.told)}
    weight, bias = _folded(heads)
    return replace(found, names=resolved.names, weight=weight, bias=bias, about=about)


def _folded(heads: Heads) -> tuple[Tensor, Tensor]:
    """Weight and bias of the calibrated logit."""
    slope, offset = heads.platt.slope, heads.platt.offset
    return heads.weight * slope[:, None], heads.bias * slope + offset


def _exampled(rule: ByExample, data: _Data, seed: int, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Images of examples with their answers, and the training images that are presumed to be without."""
    having, lacking = (_pictures(data.model, files) for files in (rule.having, rule.lacking))
    positions = torch.zeros(0, dtype=torch.int64)
    if not len(lacking):
        positions = Streams(seed).at(f"presumed {name}").permutation(data.train)[:PRESUMED]
    answers = torch.cat((torch.ones(len(having)), torch.zeros(len(lacking)))).long()
    return torch.cat((having, lacking)), answers, positions


def _pictures(model: Loaded, files: Sequence[Path]) -> Tensor:
    facts = model.facts
    if not files:
        return torch.zeros(0, facts.channels, facts.size, facts.size, dtype=torch.uint8)
    return sources.read_images(list(files), size=facts.size, channels=facts.channels)


def _pixels(dataset: Dataset) -> Tensor:
    """Raw pixels of all images, averaged down where there are more than 1,024 numbers in one."""
    parts = [_flat(split.images) for split in (dataset.train, dataset.test) if len(split)]
    return torch.cat(parts)


def _flat(images: Tensor | Images, numbers: int = PIXELS) -> Tensor:
    _, channels, height, width = images.shape
    smaller = channels * height * width > numbers
    return embedding.in_rows(images, max(1, math.isqrt(numbers // channels)) if smaller else None)


def _with_planes(found: Associator, data: _Data, resolved: Resolved | None, count: int, seed: int) -> Associator:
    fit, test = data.rows[data.roles.fit], data.rows[data.roles.test]
    planes = find_valleys(fit, count, seed=seed)
    labels = data.labels
    stored: list[dict[str, Any]] = [asdict(one) for one in planes.found]
    if labels is not None and len(planes):
        classes = data.dataset.classes
        seen = labels[data.roles.test]
        agreed = agreement(planes, fit, test, labels[data.roles.fit], seen, len(classes), seed=seed)
        for one, said in zip(stored, agreed, strict=True):
            area = None if math.isnan(said.area) else said.area
            one |= {"classes": [classes[i] for i in said.classes], "area": area}
            one |= {"information": said.information, "of_random": said.of_random}
    if resolved is not None and len(planes):
        distance, truths = planes.distance(test), resolved.targets[data.roles.test]
        for k, one in enumerate(stored):
            area, name = max((_either_way(distance[:, k], truths[:, j]), name) for j, name in enumerate(resolved.names))
            one |= {"attribute": name, "attribute_area": area}
    about = {**found.about, "valleys": stored, "sought": count}
    names = tuple(f"plane {i + 1}" for i in range(len(planes)))
    weight, bias = planes.weight / planes.scale[:, None], planes.bias / planes.scale
    return replace(found, planes=names, plane_weight=weight, plane_bias=bias, about=about)


def _either_way(distance: Tensor, truth: Tensor) -> float:
    """How well a plane's side says an attribute, whichever side it is; 0 where nobody knows."""
    known = truth >= 0
    area = auroc(distance[known], truth[known] == 1)
    return 0.0 if math.isnan(area) else max(area, 1 - area)


def readings_of(found: Associator) -> tuple[Reading, ...]:
    """What was measured of each attribute."""
    return tuple(Reading.from_json(one) for one in found.about["readings"])


def _command(run: Run, about: Mapping[str, Any], source: Any, root: Any) -> str:
    """What to type to have all of the page again, also what was there before."""
    words = ["counterpoint", "associate", str(run.folder)]
    for path in about["files"]:
        words += ["--attributes", str(path)]
    words += ["--discover", str(about["sought"])] if about["sought"] else []
    words += ["--source", str(source)] if isinstance(source, str) else []
    words += ["--root", str(root)] if root is not None else []
    words += ["--seed", str(about["seed"])] if about["seed"] else []
    return shlex.join(words)


def answer(run: Run | str | Path, inputs: Sequence[str | Path]) -> list[tuple[str, Association]]:
    """What images are associated with, by their paths; files that are no images are named on stderr and left out.

    Args:
        run: a run with attributes, or its folder.
        inputs: image files, and folders of them.

    Raises:
        RunError: the run has no attributes.
        SourceError: no image could be used.
    """
    found = load_attributes(run.folder if isinstance(run, Run) else run)
    assert found.encoder is not None
    files = [file for item in inputs for file in sources.image_files(Path(item))]
    facts = found.encoder.facts
    said: list[tuple[str, Association]] = []
    reasons: list[str] = []
    for start in range(0, len(files), 1024):
        part = files[start : start + 1024]
        images, kept, skipped = sources.read_files(part, size=facts.size, channels=facts.channels)
        reasons += [f"{one.name}: {one.reason}" for one in skipped]
        if kept:
            names = [str(part[i]) for i in kept]
            said += list(zip(names, found.predict(images), strict=True))
    if not said:
        raise SourceError(f"none of the {len(files)} files can be used ({reasons[0]}); give images")
    for reason in reasons:
        print(f"  skipped  {reason}", file=sys.stderr)
    return said


def show_attributes(found: Associator) -> None:
    """Print which attributes can be read, and what the planes have to do with the classes."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if console.width < WIDTH:
        console = Console(width=WIDTH)
    readings = readings_of(found)
    if readings:
        heads = ("attribute", "verdict", "AUROC", *GAPS, "accuracy", "ECE")
        table = Table(*heads)
        for one in readings:
            share = "–" if one.accuracy is None else f"{one.accuracy.value:.1%}"
            error = "–" if one.error is None else f"{one.error:.3f}"
            verdict = Text("readable", "green") if one.readable else Text(one.why, "red")
            gaps = (one.over_pixels, one.over_shuffled, one.over_union)
            told = [interval_of(one.auroc), *(interval_of(gap, signed=True) for gap in gaps)]
            shown = [Text(word.replace(" (", "\n(")) for word in told]
            table.add_row(Text(one.name), verdict, *shown, Text(share), Text(error))
        console.print(table)
        good = sum(one.readable for one in readings)
        console.print(Text(f"{good} of {len(readings)} attributes can be read; {found.about['roles']}."))
        if any(one.over_union is not None for one in readings):
            console.print(Text(UNIONS))
    valleys = cast(list[dict[str, Any]], found.about["valleys"])
    if valleys:
        labelled, named = "classes" in valleys[0], "attribute" in valleys[0]
        heads = ["plane", "depth", "positive side"]
        heads += ["classes mostly on it", "AUROC", "explained by class"] if labelled else []
        heads += ["nearest attribute", "AUROC"] if named else []
        table = Table(*heads)
        for name, one in zip(found.planes, valleys, strict=True):
            words = [name, f"{one['depth']:.2f}", f"{one['share']:.0%}"]
            if labelled:
                area = "–" if one["area"] is None else f"{one['area']:.3f}"
                words += [", ".join(one["classes"]), area, f"{one['information']:.0%} (random {one['of_random']:.0%})"]
            if named:
                words += [one["attribute"], f"{one['attribute_area']:.3f}"]
            table.add_row(*map(Text, words))
        console.print(table)
    if found.about["sought"] > len(valleys):
        console.print(
            Text(f"{len(valleys)} of {found.about['sought']} planes were found: no other direction has a valley.")
        )


def show_associations(said: Sequence[tuple[str, Association]]) -> None:
    """Print what each image is associated with: its class, and every attribute with its probability."""
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    for name, one in said:
        label = f"  {one.label} ({one.classes[one.label]:.1%})" if one.label is not None else ""
        console.print(Text(f"{name}{label}"))
        wide = max((len(each) for each in (*one.attributes, *one.sides)), default=0)
        for each, share in one.attributes.items():
            mark = "yes" if share >= 0.5 else "no "
            console.print(Text(f"  {mark}  {each:<{wide}}  {share:6.1%}", "bold" if share >= 0.5 else "dim"))
        for each, distance in one.sides.items():
            console.print(Text(f"       {each:<{wide}}  {distance:+6.2f} deviations", "dim"))
