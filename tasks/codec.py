"""The video codec: films to latents and back. Other tasks use it frozen."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor

from decoders.codec import ConvCodec
from unified.errors import UserError, check_numbers
from unified.judging.scores import MOVING_THRESHOLD
from unified.model.batch import Batch
from unified.training.optimizers import Muon, OptimizerFactory, save_options
from unified.training.schedule import ProgressSchedule, Schedule, run_progress

ARMS = ("", "_alone", "_copy_first")  # from a true first frame; each picture by itself; the first frame repeated


class Codec(pl.LightningModule):
    """Trains `decoders.codec.ConvCodec` on the films of all windows, observed and future frames in a row.

    First every latent is decoded by itself, all at once. Then films are: the first frame of a window alone; the second
    from the true first one in half of the rows and from the decoded one in the others; the rest from their predecessors
    as they were decoded. That is what the decoder will see in use, so its errors do not grow.

    Args:
        spec: of the data; the command line links it to the data module's.
        channels, width, frames_per_latent: see `ConvCodec`.
        latent_noise: of what is decoded while training, in units of the latents' spread, so that latents need not be
            exact.
        gradient_weight: of the error of neighbouring pixels' differences, which keeps edges sharp.
        pull: of the squared latents, towards zero.
        alone_share: share of the run, from its beginning, in which every latent is decoded by itself.
        optimizer: `Muon` (default) or `AdamW`, with their options.
        schedule: of the learning rate.
        seed: of everything drawn in a step.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        channels: int = 8,
        width: int = 64,
        frames_per_latent: int = 1,
        latent_noise: float = 0.05,
        gradient_weight: float = 0.5,
        pull: float = 1e-3,
        alone_share: float = 0.5,
        optimizer: OptimizerFactory | Muon | None = None,
        schedule: Schedule = Schedule(),  # noqa: B008 - frozen
        seed: int = 0,
    ):
        super().__init__()
        check_numbers(least=0, latent_noise=latent_noise, gradient_weight=gradient_weight, pull=pull, seed=seed)
        check_numbers(least=0, most=1, alone_share=alone_share)
        length = spec["num_moments"]
        if length < 2 or (length - 1) % frames_per_latent:
            raise UserError(
                f"A codec with {frames_per_latent} frames a latent trains on windows of one frame and then a multiple "
                f"of {frames_per_latent}, got data.num_moments = {length}."
            )
        self.model = ConvCodec(channels, width, frames_per_latent, spec["image_size"], spec["cameras"])
        self.latent_noise, self.gradient_weight, self.pull = latent_noise, gradient_weight, pull
        self.alone_share = alone_share
        self.schedule, self.seed = schedule, seed
        self.optimizer_factory = optimizer = optimizer or Muon()
        self._errors = torch.zeros(0)
        save_options(self, network=self.model.options)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        film = film_of(batch)
        key = np.random.SeedSequence([self.seed, self.global_step, batch_idx, self.global_rank]).generate_state(1)[0]
        generator = torch.Generator(self.device).manual_seed(int(key))
        latents = self.model.compress(self.model.with_start(film))
        self.model.observe(latents)
        noise = torch.randn(latents.shape, generator=generator, device=latents.device) * self.model.std
        is_given = torch.rand(len(film), generator=generator, device=film.device) < 0.5
        noisy = latents + self.latent_noise * noise
        is_early = run_progress(self.trainer, self.global_step) < self.alone_share
        drawn = self._draw_alone(noisy) if is_early else self._draw_film(noisy, film[:, 0], is_given)
        losses = reconstruction_losses(drawn, film)
        pull = latents.square().mean()
        total = losses["pixels"] + self.gradient_weight * losses["gradient"] + self.pull * pull
        if not (self.global_step + 1) % max(self.trainer.log_every_n_steps, 1):  # pyright: ignore[reportAttributeAccessIssue]
            self.log_dict({f"train/loss_{name}": value.detach() for name, value in losses.items()})
        return total

    def _draw_alone(self, latents: Tensor) -> Tensor:
        """The frames of every latent by itself, not clipped."""
        drawn = self.model.draw(self.model.unfold(latents).flatten(0, 1), None)
        return drawn.unflatten(0, latents.shape[:2]).flatten(1, 2)[:, self.model.frames_per_latent - 1 :]

    def _draw_film(self, latents: Tensor, first: Tensor, is_given: Tensor) -> Tensor:
        """The film as it is decoded, not clipped; frames after the first go on from the true first one where given."""
        start, *rest = self.model.unfold(latents).unbind(1)
        shown = [self.model.draw(start, None)[:, -1:]]
        previous = torch.where(is_given[:, None, None, None], first, shown[0][:, 0].clamp(-1, 1))
        for hidden in rest:
            shown.append(self.model.draw(hidden, previous))
            previous = shown[-1][:, -1].clamp(-1, 1)
        return torch.cat(shown, dim=1)

    def on_validation_epoch_start(self) -> None:
        self._errors = torch.zeros(len(ARMS), 4, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        film = film_of(batch)
        first, truth = film[:, 0], film[:, 1:]
        pictures = self.model.decode(self.model.encode(film.flatten(0, 1)[:, None]))
        films = {
            "": self.model.decode(self.model.encode(film)[:, 1:], first),
            "_alone": pictures.unflatten(0, film.shape[:2])[:, 1:, 0],
            "_copy_first": first[:, None].expand_as(truth),
        }
        is_moving = ((truth - first[:, None]).abs() / 2 > MOVING_THRESHOLD).any(dim=2, keepdim=True).expand_as(truth)
        for row, arm in enumerate(ARMS):
            squared = ((films[arm].float() - truth) / 2).square().double()
            sums = [squared.sum(), squared.new_tensor(squared.numel()), squared[is_moving].sum(), is_moving.sum()]
            self._errors[row] += torch.stack([part.to(self._errors) for part in sums])

    def on_validation_epoch_end(self) -> None:
        """PSNR in dB of the errors of all held-out windows together, over all pixels and over those that move."""
        errors = self.trainer.strategy.reduce(self._errors, reduce_op="sum")
        assert isinstance(errors, Tensor)
        for arm, (whole, count, moving, num_moving) in zip(ARMS, errors, strict=True):
            self.log(f"val/psnr{arm}", 10 * torch.log10(count / whole.clamp_min(1e-10)))
            self.log(f"val/psnr{arm}_moving", 10 * torch.log10(num_moving / moving.clamp_min(1e-10)))
        self.log("val/loss", 4 * errors[0, 0] / errors[0, 1])

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def on_test_epoch_start(self) -> None:
        self.on_validation_epoch_start()

    def on_test_epoch_end(self) -> None:
        self.on_validation_epoch_end()

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The latents of all films."""
        return {"latents": self.model.encode(film_of(batch))}

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer_factory.build(self.model)
        schedule = ProgressSchedule(optimizer, self.schedule, lambda step: run_progress(self.trainer, step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def film_of(batch: Batch) -> Float[Tensor, " film time 3 height width"]:
    """The pictures of every window and camera in a row, without cameras that are not there."""
    films = batch.images.transpose(1, 2)
    return films.flatten(0, 1) if batch.camera_is_pad is None else films[~batch.camera_is_pad]


def reconstruction_losses(drawn: Tensor, film: Float[Tensor, " film time 3 height width"]) -> dict[str, Tensor]:
    """Absolute and squared errors of pixels, and absolute errors of what neighbours differ by, down and across."""
    error = drawn - film
    down, across = error.diff(dim=-2).abs().mean(), error.diff(dim=-1).abs().mean()
    return {"pixels": error.abs().mean() + 2 * error.square().mean(), "gradient": down + across}
