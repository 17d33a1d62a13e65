"""What a method must not leave out: does the doctor name it before the accuracy falls?

    python -m benchmarks.ablations DATA/cifar10 --out ablations.jsonl      every ablation; goes on where it stopped

Each method is trained whole and with one part left out, from one seed, on images of CIFAR-10 with one small encoder.
Accuracy is kNN twice an epoch on a tenth of them, held out; it has fallen where it stays below that of the whole method
by more than two standard errors of the difference, or where the run diverged: in between two readings, which are both
told. The doctor's word is the first finding in log.jsonl that has the ablation's name, at the step at which it was
said; another one before it stands beside it. Test images are not read.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness import environment
from counterpoint import sources
from counterpoint.studies.dimensional_collapse.lead import ABLATIONS, Followed, fallen, followed, spoken
from counterpoint.studies.restricted import Restricted


@dataclass(frozen=True)
class Sizes:
    """Of every run.

    Args:
        root: folder of CIFAR-10.
        images: of which a tenth is held out.
        epochs: passes over the rest.
        seed: of the run.
    """

    root: Path
    images: int
    epochs: int
    seed: int


def trained(name: str, whole: bool, sizes: Sizes) -> dict[str, Any]:
    """One run: findings by step, and accuracy by step."""
    source = Restricted(sources.lookup("cifar10", root=str(sizes.root)), per_class=sizes.images // 10)
    found = followed(
        ABLATIONS[name], source, whole=whole, encoder="conv", batch=256, epochs=sizes.epochs, seed=sizes.seed
    )
    return {
        "name": name,
        "whole": whole,
        "seed": sizes.seed,
        "images": sizes.images,
        "epochs": sizes.epochs,
        **asdict(found),
    }


def table(lines: Sequence[dict[str, Any]]) -> None:
    """Print what was said and what fell."""
    shown = Table(
        "left out",
        "seed",
        "the doctor's word",
        "another before",
        "accuracy fell",
        "kNN at the end",
        "whole",
        "and of it",
    )
    wholes = {(line["name"], line["seed"]): line for line in lines if line["whole"]}
    for line in lines:
        whole = wholes.get((line["name"], line["seed"]))
        if line["whole"] or whole is None:
            continue
        runs = [Followed(**{field.name: each[field.name] for field in fields(Followed)}) for each in (line, whole)]
        name = ABLATIONS[line["name"]].finding
        said, other = spoken(runs[0], name)
        words = "nothing" if said is None else f"{name} at {said}", "" if other is None else f"{other[1]} at {other[0]}"
        fell = fallen(runs[0], runs[1], line["images"] // 10)
        when = "not" if fell is None else f"after {fell.after}, by {fell.by}"
        ends = ["diverged" if run.diverged else f"{run.accuracy[-1][1]:.3f}" for run in runs]
        calm = ", ".join(name for _, name in whole["findings"]) or "healthy"
        shown.add_row(line["name"], str(line["seed"]), *words, when, *ends, calm)
    Console(width=140).print(shown)


def main() -> None:
    """Make the runs that are missing, and print the table of all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("root", type=Path, help="folder of CIFAR-10")
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], help="ablations whose names begin so")
    parser.add_argument("--out", type=Path, default=Path("ablations.jsonl"))
    asked = parser.parse_args()
    texts = asked.out.read_text(encoding="utf-8").splitlines() if asked.out.is_file() else []
    done: list[dict[str, Any]] = [json.loads(text) for text in texts]
    known = {(line["name"], line["whole"], line["seed"], line["images"], line["epochs"]) for line in done}
    print(json.dumps(environment()))
    for seed in range(asked.seeds):
        for name in ABLATIONS:
            for whole in (True, False):
                key = name, whole, seed, asked.images, asked.epochs
                if key in known or (asked.only and not name.startswith(tuple(asked.only))):
                    continue
                done.append(trained(name, whole, Sizes(asked.root, asked.images, asked.epochs, seed)))
                with asked.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(done[-1]) + "\n")
    table([line for line in done if (line["images"], line["epochs"]) == (asked.images, asked.epochs)])


if __name__ == "__main__":
    main()
