"""The video autoencoder: frames to latents and back. Other tasks use it frozen."""

import dataclasses
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor

from decoders.autoencoder import ConvAutoencoder
from unified.model.batch import Batch
from unified.training.optimizers import AdamW, OptimizerFactory, describe
from unified.training.progress import run_progress
from unified.training.schedule import ProgressSchedule, Schedule


class Autoencoder(pl.LightningModule):
    """Trains `decoders.autoencoder.ConvAutoencoder` on all frames of the windows, observed and future ones.

    Args:
        spec: of the data; the command line links it.
        width, latent_channels, downsampling: see `ConvAutoencoder`.
        divergence_weight: how much the latents are pulled towards a unit normal.
        optimizer: `AdamW` (default) or `Muon`, with their options.
        schedule: of the learning rate.
        seed: of the noise on the latents.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        width: int = 32,
        latent_channels: int = 8,
        downsampling: int = 8,
        divergence_weight: float = 1e-4,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule = Schedule(),  # noqa: B008 - frozen
        seed: int = 0,
    ):
        super().__init__()
        self.model = ConvAutoencoder(width, latent_channels, downsampling)
        self.divergence_weight, self.schedule, self.seed = divergence_weight, schedule, seed
        self.optimizer_factory = optimizer or AdamW()
        self.save_hyperparameters(
            {
                "task": "tasks.autoencoder.Autoencoder",
                "spec": spec,
                "network": self.model.options,
                "divergence_weight": divergence_weight,
                "optimizer": describe(self.optimizer_factory),
                "schedule": dataclasses.asdict(schedule),
                "seed": seed,
            },
            logger=False,
        )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        frames = frames_of(batch)
        key = np.random.SeedSequence([self.seed, self.global_step, self.global_rank]).generate_state(1, np.uint64)[0]
        losses = self.model.loss(frames, torch.Generator(self.device).manual_seed(int(key >> np.uint64(1))))
        means = {name: loss.mean() for name, loss in losses.items()}
        total = means["reconstruction"] + self.divergence_weight * means["divergence"]
        self.log_dict({f"train/loss_{name}": value.detach() for name, value in means.items()})
        self.log("train/loss", total.detach(), prog_bar=True)
        return total

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        frames = frames_of(batch)
        mean, _ = self.model.encode(frames)
        error = (self.model.decode(mean).clamp(-1, 1) - frames).square().flatten(1).mean(1)
        psnr = 10 * torch.log10(4 / error.clamp_min(1e-10))
        self.log_dict({"val/loss": error.mean(), "val/psnr": psnr.mean()}, batch_size=len(frames), sync_dist=True)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The latents of all frames."""
        return {"latents": self.model.encode(frames_of(batch))[0]}

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer_factory.build(self.model)
        schedule = ProgressSchedule(optimizer, self.schedule, lambda step: run_progress(self.trainer, step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def frames_of(batch: Batch) -> Float[Tensor, " frame 3 height width"]:
    """Every frame of a batch, of cameras that are there."""
    parts = [batch.observation.images] + ([] if batch.video is None else [batch.video])
    images = torch.cat(parts, dim=2)
    if batch.observation.camera_is_pad is not None:
        return images[~batch.observation.camera_is_pad].flatten(0, 1)
    return images.flatten(0, 2)
