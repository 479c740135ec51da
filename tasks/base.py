"""What all tasks share: rows of a batch are asked queries in fixed shares, and the answers' errors are the loss."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from tasks.augmentation import draw_shifts, mirror, shift_pictures
from tasks.metrics import METRICS, Metric
from tasks.mixing import interleave, mixes_of
from unified.errors import UserError, check_numbers, unknown_name
from unified.model.batch import Batch
from unified.model.config import ModelConfig
from unified.model.model import UnifiedModel, seed_of
from unified.model.queries import Query
from unified.model.spec import DataSpec
from unified.model.stored.history import History
from unified.training.network import Network
from unified.training.optimizers import Muon, OptimizerFactory, save_options
from unified.training.schedule import ProgressSchedule, Schedule, run_progress

VALIDATION_SEED = 1_000_003
SHIFT_SEED = 1_000_033
MIRROR_SEED = 1_000_037


class GenerativeTask(pl.LightningModule):
    """Trains a `UnifiedModel` on a mix of queries.

    All randomness of a training step is a function of (seed, step, global row): a run that was killed and resumed, or
    spread over processes, computes what one uninterrupted process computes.

    Args:
        spec: of the data (`DataSpec.to_dict()`); the command line links it to the data module's.
        network: the architecture; in YAML the keys of `unified.model.config.ModelConfig`.
        queries: by name, the share of the rows that are asked it, or a block of attributes of `Query`, also of a query
            of your own; default: `default_queries` of the task.
        loss_weights: factor of each stream's loss, 1 if not named.
        optimizer: `Muon` or `AdamW`, with their options; options without a class are Muon's.
        schedule: of the learning rate.
        shift_pixels: while training, what each camera shows is moved by up to so many pixels, see `tasks.augmentation`.
        mirror_actions: while training, every second row's pictures are mirrored and the signs of these actions changed;
            empty: never.
        seed: of everything drawn in a step.

    Attributes:
        default_queries: what a task learns if not told otherwise.
        metrics: by stream, what validation measures of answers; a task may have others than `tasks.metrics`.
    """

    default_queries: Mapping[str, Any] = {}
    metrics: Mapping[str, Metric] = METRICS

    def __init__(
        self,
        spec: dict[str, Any],
        network: Network | ModelConfig,
        queries: dict[str, float | dict[str, Any]] | None = None,
        loss_weights: dict[str, float] | None = None,
        optimizer: OptimizerFactory | Muon | None = None,
        schedule: Schedule = Schedule(),  # noqa: B008 - frozen
        shift_pixels: int = 0,
        mirror_actions: Sequence[int] = (),
        seed: int = 0,
    ):
        super().__init__()
        config = network.config() if isinstance(network, Network) else network
        self.loss_weights = loss_weights = loss_weights or {}
        self.optimizer_factory = optimizer = optimizer or Muon()
        self.schedule, self.seed = schedule, seed
        self.shift_pixels, self.mirror_actions = shift_pixels, tuple(mirror_actions)
        self._check(config)
        self.model = UnifiedModel(config, DataSpec.from_dict(spec))
        self.queries = {
            name: self.model.query(Query.from_dict(name, values if isinstance(values, Mapping) else {"share": values}))
            for name, values in (queries or self.default_queries).items()
        }
        self._check_moments()
        mixes = mixes_of(self.queries.values())
        self.mixes, self._shares = [*mixes], [*mixes.values()]
        self._pattern = torch.zeros(0, dtype=torch.long)
        self.row_losses: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
        widest = self.model.spec.action_dim
        if any(not 0 <= index < widest for index in self.mirror_actions):
            raise UserError(f"mirror_actions must be below the number of actions, {widest}, got {[*mirror_actions]}.")
        save_options(self, network=config)

    def _check(self, config: ModelConfig) -> None:
        check_numbers(least=0, shift_pixels=self.shift_pixels, seed=self.seed)
        check_numbers(least=0, prefix="loss_weights.", **self.loss_weights)
        for stream in self.loss_weights:
            if stream not in config.decoders:
                raise unknown_name("stream in loss_weights", stream, config.decoders)

    def _check_moments(self) -> None:
        moments = self.model.spec.num_moments
        for name, query in self.queries.items():
            if not all(self.model.num_elements(stream, moments) for stream in query.wanted):
                raise UserError(
                    f"The query {name!r} asks what happens after a moment, so windows need at least two: "
                    f"data.num_moments is {moments}."
                )

    def setup(self, stage: str) -> None:
        """Take the statistics of the training data, and see that the model can read its instructions."""
        data: Any = getattr(self.trainer, "datamodule", None)
        if stage == "fit" and getattr(data, "stats", None):
            self.model.set_stats(data.stats)
        self.model.text.check(getattr(data, "tasks", ()))

    def on_fit_start(self) -> None:
        """Remember what is trained on from here, beside what was before."""
        data = getattr(self.trainer, "datamodule", None)
        now = History(self._learned_queries(), getattr(data, "history", ()))
        self.model.history = self.model.history.then(now)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What was trained on stands beside the weights."""
        checkpoint["history"] = self.model.history.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember what was trained on."""
        self.model.history = History.from_dict(checkpoint.get("history", {}), "The checkpoint")

    def _learned_queries(self) -> dict[str, Query]:
        """Those that rows of a batch are asked, with a loss, and that the data can teach."""
        data: Any = getattr(self.trainer, "datamodule", None)
        size = getattr(data, "batch_size", None)
        numbers = range(len(self.mixes)) if size is None else set(interleave(self._shares, size).tolist())
        asked = {query.name for number in numbers for query in self.mixes[number]}
        windows = getattr(data, "train_windows", None)
        has_demonstrations = windows is None or any(source.is_demonstration for source in windows.sources)
        return {
            name: query
            for name, query in self.queries.items()
            if name in asked
            and (has_demonstrations or not query.imitates)
            and all(self.loss_weights.get(stream, 1.0) for stream in query.wanted)
        }

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        micro_step = batch_idx % self.trainer.accumulate_grad_batches
        first_row, num_rows = self.global_rank * len(batch), self.trainer.world_size * len(batch)
        rows = torch.arange(first_row, first_row + len(batch))
        step = (self.seed, self.global_step, micro_step)
        if self.shift_pixels:
            generator = self._generator(SHIFT_SEED, *step)
            shifts = draw_shifts(num_rows, batch.images.shape[2], self.shift_pixels, generator)
            batch = shift_pictures(batch, shifts[rows.to(self.device)])
        if self.mirror_actions:
            is_mirrored = torch.rand(num_rows, generator=self._generator(MIRROR_SEED, *step), device=self.device) < 0.5
            batch = mirror(batch, is_mirrored[rows.to(self.device)], self.mirror_actions)
        draws = self.model.draw([(*step, row) for row in rows.tolist()])
        asked = self._mix_of_rows(num_rows)[rows]
        errors = self.model.loss(batch, self.mixes, asked, draws)
        self.row_losses = {
            (query.name, stream): self._rows_of(query, asked, errors[stream])
            for query in self.queries.values()
            for stream in query.wanted
        }
        self._log_losses(errors)
        return self._total(errors)

    def _mix_of_rows(self, num_rows: int) -> Tensor:
        """Which mix each row of a global batch is asked; the same in every step."""
        if len(self._pattern) != num_rows:
            self._pattern = interleave(self._shares, num_rows)
        return self._pattern

    def _total(self, errors: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        """The weighted sum of all streams; padding and what is not asked count as no error, on all ranks alike."""
        total = torch.zeros((), device=self.device)
        for stream, (error, _) in errors.items():
            total = total + self.loss_weights.get(stream, 1.0) * error.mean()
        return total

    def _rows_of(self, query: Query, asked: Tensor, errors: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The rows that are asked a query and their losses, for the logs and for whoever looks for a bad row."""
        rows = torch.nonzero(torch.tensor([query in mix for mix in self.mixes])[asked]).flatten().to(self.device)
        error, is_known = (part.detach()[rows] for part in errors)
        return rows, error.sum(dim=1) / is_known.sum(dim=1).clamp_min(1)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        keys = [(self.seed, VALIDATION_SEED, batch_idx, row) for row in range(len(batch))]
        draws, asked = self.model.draw(keys), torch.zeros(len(batch), dtype=torch.long)
        values: dict[str, Tensor] = {}
        total = torch.zeros((), device=self.device)
        now = _validated_moment(batch)
        for name, query in self.queries.items():
            for stream, (error, is_known) in self.model.loss(batch, [(query,)], asked, draws).items():
                loss = error.sum() / is_known.sum().clamp_min(1)
                values[f"val/loss_{name}_{stream}"] = loss
                total = total + query.share * self.loss_weights.get(stream, 1.0) * loss
            generator = self._generator(self.seed, VALIDATION_SEED, batch_idx)
            answers = self.model.sample(batch, query, now, generator=generator)
            for stream in set(answers) & set(self.metrics):
                metrics = self.metrics[stream](self.model, batch, query, answers[stream], now)
                values |= {f"val/{key}": value for key, value in metrics.items()}
        self.log_dict({"val/loss": total, **values}, batch_size=len(batch), sync_dist=True)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, dict[str, Tensor]]:
        """The answer to every query of this task, in data units."""
        generator, now = self._generator(self.seed, VALIDATION_SEED, batch_idx), _validated_moment(batch)
        return {name: self.model.sample(batch, query, now, generator=generator) for name, query in self.queries.items()}

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer_factory.build(self.model)
        schedule = ProgressSchedule(optimizer, self.schedule, lambda step: run_progress(self.trainer, step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _generator(self, *key: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(seed_of(key))

    def _log_losses(self, errors: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        if (self.global_step + 1) % max(self.trainer.log_every_n_steps, 1):  # pyright: ignore[reportAttributeAccessIssue]
            return
        values = {f"train/loss_{name}_{stream}": loss.mean() for (name, stream), (_, loss) in self.row_losses.items()}
        for stream, (error, is_known) in errors.items():
            values[f"train/loss_{stream}"] = error.detach().sum() / is_known.sum().clamp_min(1)
        self.log_dict(values, prog_bar=False)


def _validated_moment(batch: Batch) -> int:
    """The last moment of a window from which the step to the next is known; the only one, if there is but one."""
    return max(batch.num_moments - 2, 0)
