# %% [markdown]
# # SimCLR in a plain torch loop
#
# The parts of Counterpoint are values and functions: take the ones you like into your own loop. Here are three of them:
# a source, the views, and the loss. The loop, the network and the optimizer are yours.

# %%
import torch
from torch import nn

from counterpoint import sources
from counterpoint.evaluation import knn_accuracy
from counterpoint.objectives import nt_xent
from counterpoint.random import Streams
from counterpoint.types import Embeddings
from counterpoint.views import named

STEPS, BATCH = 60, 256

# %% [markdown]
# A source answers with uint8 tensors, decoded once. Views are drawn for each image of a batch and applied to the batch
# as one tensor; a stream is a function of seed, name and step, so a step can be replayed.

# %%
digits = sources.lookup("digits").load()
views = named("glyphs", size=8, channels=1)
streams = Streams(seed=0)

# %%
torch.manual_seed(0)
encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU())
projector = nn.Linear(256, 64)
optimizer = torch.optim.AdamW([*encoder.parameters(), *projector.parameters()], lr=1e-3)

for step in range(STEPS):
    index = streams.at("order", step).permutation(len(digits.train))[:BATCH]
    first, second = views(digits.train.images[index], streams.at("views", step))
    z = projector(encoder(torch.cat([first, second])))
    loss = nt_xent(z, temperature=0.5)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0 or step == STEPS - 1:
        print(f"step {step:3d}  loss {loss.item():.4f}")


# %% [markdown]
# What does it know? Evaluators are pure functions of embeddings.


# %%
@torch.no_grad()
def embedded(split):
    h = encoder(split.images.float() / 255)
    return Embeddings(h, torch.arange(len(split)), labels=split.labels, classes=digits.classes)


accuracy = knn_accuracy(embedded(digits.train), embedded(digits.test))
print(f"weighted kNN accuracy on {len(digits.test)} test digits: {float(accuracy):.3f}")
