"""What a method must not leave out: does the doctor name it before the accuracy falls?

    python -m benchmarks.ablations DATA/cifar10 --out ablations.jsonl      every ablation; goes on where it stopped

Each method is trained whole and with one part left out, from one seed, on images of CIFAR-10 with one small encoder.
Accuracy is kNN after every epoch on a tenth of them, held out; it has fallen at the first epoch from which on it stays
below that of the whole method by more than two standard errors of the difference. The doctor's word is the first
finding of log.jsonl, at the step at which it was said. Test images are not read.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness import environment
from counterpoint import sources
from counterpoint.studies.dimensional_collapse.lead import ABLATIONS, fallen, followed
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
        "accuracy": list(found.accuracy),
        "findings": list(found.findings),
    }


def table(lines: Sequence[dict[str, Any]]) -> None:
    """Print what was said and what fell."""
    shown = Table(
        "left out", "seed", "the doctor's first word", "accuracy fell", "kNN at the end", "whole", "and of it"
    )
    wholes = {(line["name"], line["seed"]): line for line in lines if line["whole"]}
    for line in lines:
        whole = wholes.get((line["name"], line["seed"]))
        if line["whole"] or whole is None:
            continue
        said = f"{line['findings'][0][1]} at {line['findings'][0][0]}" if line["findings"] else "nothing"
        step = fallen(line["accuracy"], whole["accuracy"], line["images"] // 10)
        ends = [f"{each['accuracy'][-1][1]:.3f}" if each["accuracy"] else "diverged" for each in (line, whole)]
        calm = ", ".join(name for _, name in whole["findings"]) or "healthy"
        shown.add_row(line["name"], str(line["seed"]), said, "not" if step is None else f"{step}", *ends, calm)
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
