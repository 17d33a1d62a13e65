"""Store the golden number of recipes anew: `python tests/recapture.py [RECIPE ...]`; the diff is reviewed."""

import json
import sys
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def toy_epoch(name):
    """The loss of each step of one seeded epoch on the digits, with the small MLP, in float32 on the CPU."""
    import tempfile

    import counterpoint as cp

    with tempfile.TemporaryDirectory() as folder:
        run = cp.train(
            name,
            source="digits",
            encoder="mlp",
            out=Path(folder) / "run",
            dials={"batch_size": 128, "epochs": 1},
            precision="32-true",
            channels_last="no",
            accelerator="cpu",
            evaluate=False,
            report=False,
            quiet=True,
        )
        return [line["loss"] for line in run.history() if line["event"] == "step"]


if __name__ == "__main__":
    from counterpoint.signature import recipes

    GOLDEN.mkdir(exist_ok=True)
    for recipe in sys.argv[1:] or sorted(recipes()):
        losses = toy_epoch(recipe)
        (GOLDEN / f"{recipe}.json").write_text(json.dumps({"losses": losses}) + "\n")
        print(f"{recipe}: {losses[-1]:.6f}")
