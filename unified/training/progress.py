"""How far a run is: by optimiser steps, or by the clock when it was given a time and not a number of steps."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer


def run_progress(trainer: pl.Trainer, global_step: int) -> float:
    """Share of the run that is done, 0 to 1; with both `max_steps` and `max_time`, of the limit that is nearer."""
    shares = [0.0]
    timer = next((callback for callback in trainer.callbacks if isinstance(callback, Timer)), None)  # pyright: ignore[reportAttributeAccessIssue]
    if trainer.max_steps > 0:
        shares.append(global_step / trainer.max_steps)
    if timer is not None and timer.time_remaining() is not None:
        elapsed = timer.time_elapsed()
        budget = elapsed + (timer.time_remaining() or 0.0)
        # Clocks differ between processes, and a rate that differs would let their weights drift apart.
        shares.append(trainer.strategy.broadcast(elapsed / budget))
    if len(shares) == 1 and trainer.max_epochs not in (None, -1):
        shares.append(global_step / max(trainer.estimated_stepping_batches, 1))
    return min(1.0, max(shares))


def log_interval(trainer: pl.Trainer) -> int:
    """Optimiser steps between two lines of the logs."""
    return max(trainer.log_every_n_steps, 1)  # pyright: ignore[reportAttributeAccessIssue]
