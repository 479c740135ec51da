"""What all tasks share: a batch's rows are asked queries in fixed shares, and the answers' errors are the loss."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from tasks.augmentation import draw_shifts, mirror, shift_pictures
from tasks.metrics import METRICS, Metric
from tasks.mixing import interleave, move_play, passes_of, shares_of
from unified.errors import UserError, check_numbers, unknown_name
from unified.model.batch import Batch
from unified.model.config import ModelConfig
from unified.model.stored.history import History
from unified.model.model import UnifiedModel
from unified.model.queries import Query, get_query
from unified.model.spec import DataSpec
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
        queries: share of each batch by query name; default: `default_queries` of the task.
        loss_weights: factor of each stream's loss, 1 if not named.
        optimizer: `Muon` or `AdamW`, with their options.
        schedule: of the learning rate.
        shift_pixels: while training, what each camera shows is moved by up to so many pixels, see `tasks.augmentation`.
        mirror_actions: while training, every second row's pictures are mirrored and the signs of these actions changed;
            empty: never.
        seed: of everything drawn in a step.

    Attributes:
        default_queries: what a task learns if not told otherwise.
        metrics: by stream, what validation measures of answers; a task may have others than `tasks.metrics`.
    """

    default_queries: Mapping[str, float] = {}
    metrics: Mapping[str, Metric] = METRICS

    def __init__(
        self,
        spec: dict[str, Any],
        network: Network | ModelConfig,
        queries: dict[str, float] | None = None,
        loss_weights: dict[str, float] | None = None,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule = Schedule(),  # noqa: B008 - frozen
        shift_pixels: int = 0,
        mirror_actions: Sequence[int] = (),
        seed: int = 0,
    ):
        super().__init__()
        config = network.config() if isinstance(network, Network) else network
        queries = dict(queries or self.default_queries)
        self.queries = {name: get_query(name) for name in queries}
        self.loss_weights = loss_weights = loss_weights or {}
        self.optimizer_factory = optimizer = optimizer or Muon()
        self.schedule, self.seed = schedule, seed
        self.shift_pixels, self.mirror_actions = shift_pixels, tuple(mirror_actions)
        self._check(config, queries)
        self._shares = shares_of(queries)
        self._passes = passes_of(list(self.queries.values()))
        self._pattern: Tensor | None = None
        self.model = UnifiedModel(config, DataSpec.from_dict(spec))
        widest = self.model.spec.action_dim
        if any(not 0 <= index < widest for index in self.mirror_actions):
            raise UserError(f"mirror_actions must be below the number of actions, {widest}, got {[*mirror_actions]}.")
        save_options(self, network=config)

    def _check(self, config: ModelConfig, queries: Mapping[str, float]) -> None:
        check_numbers(least=0, shift_pixels=self.shift_pixels, seed=self.seed)
        check_numbers(least=0, prefix="loss_weights.", **self.loss_weights)
        check_numbers(above=0, prefix="queries.", **queries)
        for name in queries:
            for stream in self.queries[name].streams:
                if stream not in config.decoders:
                    raise unknown_name(f"stream (query {name!r} needs its decoder)", stream, config.decoders)
        for stream in self.loss_weights:
            if stream not in config.decoders:
                raise unknown_name("stream in loss_weights", stream, config.decoders)

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
        asked = set(interleave(self._shares, data.batch_size).tolist()) if hasattr(data, "batch_size") else None
        windows = getattr(data, "train_windows", None)
        has_demonstrations = windows is None or any(source.is_demonstration for source in windows.sources)
        return {
            name: query
            for number, (name, query) in enumerate(self.queries.items())
            if (asked is None or number in asked)
            and (has_demonstrations or not query.imitates)
            and all(self.loss_weights.get(stream, 1.0) for stream in query.wanted)
        }

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        first_row = self.global_rank * len(batch)
        num_rows = self.trainer.world_size * len(batch)
        rows = torch.arange(first_row, first_row + len(batch))
        micro_step = batch_idx % self.trainer.accumulate_grad_batches
        draws = self.model.draw(num_rows, self._generator(self.global_step, micro_step)).select(rows.to(self.device))
        if self.shift_pixels:
            generator = self._generator(SHIFT_SEED, self.global_step, micro_step)
            shifts = draw_shifts(num_rows, batch.observation.images.shape[1], self.shift_pixels, generator)
            batch = shift_pictures(batch, shifts[rows.to(self.device)])
        if self.mirror_actions:
            generator = self._generator(MIRROR_SEED, self.global_step, micro_step)
            is_mirrored = torch.rand(num_rows, generator=generator, device=generator.device) < 0.5
            batch = mirror(batch, is_mirrored[rows.to(self.device)], self.mirror_actions)
        assignment = self._assign(batch, num_rows)[rows]
        total = torch.zeros((), device=self.device)
        self.row_losses: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
        for members in self._passes:
            mine = torch.nonzero(torch.isin(assignment, torch.tensor(members))).flatten()
            if len(mine):
                queries = [list(self.queries.values())[index] for index in members]
                asked = torch.searchsorted(torch.tensor(members), assignment[mine])
                rows_here = mine.to(self.device)
                losses = self.model.mixed_loss(batch.select(rows_here), queries, asked, draws.select(rows_here))
                for stream, loss in losses.items():
                    total = total + self.loss_weights.get(stream, 1.0) * loss.sum() / len(batch)
                self._remember(members, asked, rows_here, losses)
        self._log_losses()
        return total

    def _remember(self, members: list[int], asked: Tensor, rows: Tensor, losses: Mapping[str, Tensor]) -> None:
        """Keep the rows' losses by query and stream, for the logs and for whoever looks for the row that went wrong."""
        names = list(self.queries)
        for place, index in enumerate(members):
            chosen = torch.nonzero(asked == place).flatten().to(rows.device)
            for stream in self.queries[names[index]].wanted:
                if len(chosen):
                    self.row_losses[names[index], stream] = (rows[chosen], losses[stream].detach()[chosen])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        draws = self.model.draw(len(batch), self._generator(VALIDATION_SEED, batch_idx))
        values: dict[str, Tensor] = {}
        total = torch.zeros((), device=self.device)
        for (name, query), share in zip(self.queries.items(), self._shares, strict=True):
            for stream, loss in self.model.loss(batch, query, draws).items():
                values[f"val/loss_{name}_{stream}"] = loss.mean()
                total = total + share * self.loss_weights.get(stream, 1.0) * loss.mean()
            answers = self.model.sample(batch, query, generator=self._generator(VALIDATION_SEED, batch_idx))
            for stream in set(answers) & set(self.metrics):
                metrics = self.metrics[stream](self.model, batch, query, answers[stream])
                values |= {f"val/{key}": value for key, value in metrics.items()}
        self.log_dict({"val/loss": total, **values}, batch_size=len(batch), sync_dist=True)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, dict[str, Tensor]]:
        """The answer to every query of this task, in data units."""
        generator = self._generator(VALIDATION_SEED, batch_idx)
        return {name: self.model.sample(batch, query, generator=generator) for name, query in self.queries.items()}

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer_factory.build(self.model)
        schedule = ProgressSchedule(optimizer, self.schedule, lambda step: run_progress(self.trainer, step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _assign(self, batch: Batch, num_rows: int) -> Tensor:
        if self._pattern is None or len(self._pattern) != num_rows:
            self._pattern = interleave(self._shares, num_rows)
        assignment = self._pattern
        if batch.is_demonstration is None:
            return assignment
        is_demonstration = batch.is_demonstration
        if self.trainer.world_size > 1:
            is_demonstration = self.all_gather(is_demonstration.to(torch.uint8)).flatten().bool()  # pyright: ignore[reportAttributeAccessIssue]
        imitates = torch.tensor([query.imitates for query in self.queries.values()])
        return move_play(assignment, is_demonstration.cpu(), imitates)

    def _generator(self, *key: int) -> torch.Generator:
        mixed = np.random.SeedSequence([self.seed, *key]).generate_state(1, np.uint64)[0] >> np.uint64(1)
        return torch.Generator(self.device).manual_seed(int(mixed))

    def _log_losses(self) -> None:
        if (self.global_step + 1) % max(self.trainer.log_every_n_steps, 1):  # pyright: ignore[reportAttributeAccessIssue]
            return
        values: dict[str, Tensor] = {}
        by_stream: dict[str, list[Tensor]] = {}
        for (name, stream), (_, loss) in self.row_losses.items():
            values[f"train/loss_{name}_{stream}"] = loss.mean()
            by_stream.setdefault(stream, []).append(loss)
        values |= {f"train/loss_{stream}": torch.cat(losses).mean() for stream, losses in by_stream.items()}
        self.log_dict(values, prog_bar=False)
