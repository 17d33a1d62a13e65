# %% [markdown]
# # SimCLR in a Lightning module
#
# Whoever has a Lightning project keeps it: views and loss are called from `training_step`. This needs `lightning`
# (`pip install 'counterpoint[lightning]'`).

# %%
import logging
import warnings

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from counterpoint import sources
from counterpoint.objectives import nt_xent
from counterpoint.random import Streams
from counterpoint.views import named

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import lightning as L

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


# %%
class SimCLR(L.LightningModule):
    def __init__(self, size: int, channels: int, temperature: float = 0.5) -> None:
        super().__init__()
        self.views = named("glyphs", size=size, channels=channels)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(size * size * channels, 256), nn.ReLU())
        self.projector = nn.Linear(256, 64)
        self.temperature = temperature

    def training_step(self, batch, index):
        (images,) = batch
        stream = Streams(0, self.device).at("views", self.global_step)
        z = self.projector(self.encoder(torch.cat(self.views(images, stream))))
        return nt_xent(z, temperature=self.temperature)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


# %% [markdown]
# The loader hands out uint8 batches; views are made of the whole batch, on its device.

# %%
digits = sources.lookup("digits").load()
loader = DataLoader(TensorDataset(digits.train.images), batch_size=256, shuffle=True, drop_last=True)
model = SimCLR(size=8, channels=1)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    trainer = L.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, loader)
print(f"trained {trainer.global_step} steps")
