"""What a league that was kept says of each recipe, read from its tables, for the page of the methods."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from counterpoint.errors import RunError

__all__ = ["Kept", "Place", "read_kept"]


@dataclass(frozen=True)
class Place:
    """What a recipe reached.

    Args:
        recipe: its name.
        group: `no labels`, `labels` or `control`; ranks are those of a group.
        rank: 1 is the best; None where nothing was scored.
        linear: linear probe accuracy in [0, 1], mean over seeds.
        low, high: of its 95 % interval over seeds and test images.
        knn: accuracy in [0, 1].
        seeds: how many.
        learned: or why it is said to have failed.
        doctor: what it said of the runs.
        dials: that it was trained with, beside those that all share.
        encoder: in words, where the method changed something of it.
    """

    recipe: str
    group: str
    rank: int | None
    linear: float | None
    low: float | None
    high: float | None
    knn: float | None
    seeds: int | None
    learned: str
    doctor: str
    dials: str
    encoder: str


@dataclass(frozen=True)
class Kept:
    """A league.

    Args:
        name: of its folder.
        data: that was learned from.
        command: that made it.
        budget: in words, where it was not the usual one.
        places: in the order of the ranking.
        baselines: linear probe accuracy of raw pixels and of the untrained encoder, by name.
    """

    name: str
    data: str
    command: str
    budget: str
    places: tuple[Place, ...]
    baselines: tuple[tuple[str, float], ...]


def read_kept(folder: str | Path) -> Kept:
    """The ranking of a league's folder.

    Args:
        folder: with `study.json` and `tables/`.

    Raises:
        RunError: there is no league in it.
    """
    folder = Path(folder)
    try:
        asked = json.loads((folder / "study.json").read_text("utf-8"))
        if asked["study"] != "league":
            raise ValueError(f"its study is {asked['study']!r}")
        settings = {row["method"]: row for row in _rows(folder, "settings")}
        knn = {row["method"]: _number(row.get("kNN accuracy", "")) for row in _rows(folder, "scores")}
        places: list[Place] = []
        baselines: list[tuple[str, float]] = []
        for row in _rows(folder, "ranking"):
            linear, own = _number(row["accuracy"]), settings.get(row["method"])
            if own is None:
                baselines += [] if linear is None else [(row["method"], linear)]
                continue
            rank, seeds = _number(row["rank"]), _number(row["seeds"])
            places.append(
                Place(
                    recipe=own["recipe"],
                    group=row["group"],
                    rank=None if rank is None else int(rank),
                    linear=linear,
                    low=_number(row["low"]),
                    high=_number(row["high"]),
                    knn=knn.get(row["method"]),
                    seeds=None if seeds is None else int(seeds),
                    learned=row["learned?"],
                    doctor=row["doctor"],
                    dials=own["dials"],
                    encoder=own["encoder"],
                )
            )
        epochs = asked.get("options", {}).get("epochs")
        budget = f"{float(epochs):g} epochs" if epochs else ""
        return Kept(folder.name, str(asked["data"]), str(asked["command"]), budget, tuple(places), tuple(baselines))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{str(folder)!r} holds no league that can be read ({error}); give the folder that "
            "`counterpoint study league` wrote"
        ) from error


def _rows(folder: Path, table: str) -> list[dict[str, str]]:
    with (folder / "tables" / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _number(text: str) -> float | None:
    return float(text) if text else None
