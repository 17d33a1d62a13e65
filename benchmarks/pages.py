"""What the kept pages cost: hours of the processes that trained their runs and answered about them, by their readings.

    python -m benchmarks.pages docs/results                        every page with readings
    python -m benchmarks.pages docs/results --scale small          those of one scale

A run, or an answer about it, that several pages share is counted for the first. Seconds are those that were measured
when it was made, beside whatever else the machine did; a page itself is made in seconds.
"""

import argparse
import json
import tarfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from counterpoint.studies.readings import FILE


def spent(file: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of each run's training, all its parts, and of each answer."""
    training: dict[str, float] = {}
    answers: dict[str, float] = {}
    with tarfile.open(file) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            lines = content.read().decode().splitlines()
            if member.name.endswith("log.jsonl"):
                told = [json.loads(line) for line in lines]
                training[member.name] = sum(line.get("seconds", 0.0) for line in told if line.get("event") == "end")
            elif "/answers/" in member.name:
                answers[member.name] = json.loads("".join(lines))["seconds"]
    return training, answers


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What the kept pages cost.")
    parser.add_argument("results", type=Path)
    parser.add_argument("--scale", choices=("full", "small"))
    asked = parser.parse_args()
    known: set[str] = set()
    table = Table("page", "scale", "runs", "training [h]", "answers [h]", box=None)
    total = 0.0
    for page in sorted(file.parent for file in asked.results.glob(f"*/{FILE}")):
        scale = json.loads((page / "study.json").read_text(encoding="utf-8"))["scale"]
        if asked.scale not in (None, scale):
            continue
        parts = spent(page / FILE)
        new = [sum(seconds for name, seconds in part.items() if name not in known) / 3600 for part in parts]
        known |= {name for part in parts for name in part}
        total += sum(new)
        table.add_row(page.name, scale, str(len(parts[0])), *(f"{hours:.2f}" for hours in new))
    console = Console()
    console.print(table)
    console.print(f"{total:.2f} hours of one process, {total / 2:.2f} of two at a time")
