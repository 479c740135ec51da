"""TensorBoard: what a run is, how fast it goes, and films that play there."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import yaml
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

from unified.report.video import Film, encode_webp

HEADLINES = ("val/loss",)


def add_film(trainer: pl.Trainer, tag: str, film: Film, fps: float, global_step: int) -> None:
    """Log a film to every TensorBoard of the run, as an animated WebP in the Images tab.

    `SummaryWriter.add_video` needs a package that no longer fits and then logs nothing.
    """
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            image = Summary.Image(
                height=film.shape[1], width=film.shape[2], colorspace=3, encoded_image_string=encode_webp(film, fps)
            )
            summary = Summary(value=[Summary.Value(tag=tag, image=image)])
            logger.experiment._get_file_writer().add_summary(summary, global_step)


class Dashboard(pl.Callback):
    """Logs learning rates and throughput; writes the config, chart layout and hyper-parameters once.

    Throughput is samples of all processes over the time between two log points, validation and the like left out.
    """

    def __init__(self) -> None:
        self._samples, self._seconds = 0, 0.0
        self._started = 0.0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say what is trained on."""
        describe = getattr(getattr(trainer, "datamodule", None), "describe", None)
        if describe is not None and trainer.is_global_zero:
            sys.stdout.write(describe())

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._samples, self._seconds = 0, 0.0
        hparams = dict(pl_module.hparams)
        streams = sorted(getattr(getattr(pl_module, "model", None), "decoders", {}))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(_flat(hparams), {f"hp/{name}": float("nan") for name in HEADLINES})
                text = yaml.safe_dump(hparams, sort_keys=False)
                logger.experiment.add_text("config", "    " + text.replace("\n", "\n    "), trainer.global_step)
                logger.experiment.add_custom_scalars(_charts(streams, list(getattr(pl_module, "queries", {}))))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._seconds += time.perf_counter() - self._started
        self._samples += trainer.world_size * len(batch)
        if trainer.global_step % max(trainer.log_every_n_steps, 1) or not self._seconds:  # pyright: ignore[reportAttributeAccessIssue]
            return
        values = {"train/samples_per_second": self._samples / self._seconds}
        if isinstance(outputs, Mapping) and "loss" in outputs:  # of the whole step, whatever a task adds to it
            loss = outputs["loss"] * trainer.accumulate_grad_batches
            values["train/loss"] = float(loss)
            pl_module.log("loss", loss, prog_bar=True, logger=False)
        for index, group in enumerate(trainer.optimizers[0].param_groups):
            values[f"lr/{index}_{group.get('kind', 'all')}"] = float(group["lr"])
        pl_module.log_dict(values)
        self._samples, self._seconds = 0, 0.0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for name in HEADLINES:
            if name in trainer.callback_metrics and not trainer.sanity_checking:
                for logger in trainer.loggers:
                    logger.log_metrics({f"hp/{name}": float(trainer.callback_metrics[name])}, trainer.global_step)


def _charts(streams: list[str], queries: list[str]) -> dict[str, Any]:
    """What belongs together on one chart of TensorBoard's "Custom scalars"."""

    def lines(*names: str) -> list[Any]:
        return ["Multiline", list(names)]

    return {
        "training": {"loss per stream": lines(*(f"train/loss_{stream}" for stream in streams))},
        "validation": {
            "loss": lines("train/loss", "val/loss"),
            **{f"loss of {query}": lines(*(f"val/loss_{query}_{s}" for s in streams)) for query in queries},
            "PSNR of films, dB": lines(*(f"val/psnr_{name}" for name in (*queries, "copy_last"))),
            "error of actions": lines(*(f"val/action_mse_{query}" for query in queries)),
        },
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}/")
        elif prefix.split("/")[0] != "spec":
            flat[f"{prefix}{key}"] = value if isinstance(value, int | float | str | bool) else str(value)
    return flat
