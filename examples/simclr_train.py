# %% [markdown]
# # SimCLR by `cp.train`
#
# One call trains, scores and writes the page; what it leaves is a folder that explains itself.

# %%
import sys
from pathlib import Path

import counterpoint as cp

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example")
run = cp.train("simclr", source="digits", out=out, epochs=3, encoder="mlp", quiet=True)

# %% [markdown]
# The encoder comes back with its preprocessing; arrays, PIL images, paths and folders go in, float32 rows come out.

# %%
model = cp.load(out)
images = cp.Run.open(out).recipe()["dataset"]["test"]
print(f"an embedding has {model.width} numbers; scored on {images} test images")
print("files:", ", ".join(sorted(p.name for p in out.iterdir())))
