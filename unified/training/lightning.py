"""LightningCLI with our defaults: strict names, short errors, a run folder, checkpoints that survive anything."""

import atexit
import importlib
import json
import logging
import os
import re
import shlex
import shutil
import sys
import tempfile
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
import yaml
from jsonargparse import set_parsing_settings
from lightning_fabric.utilities.seed import reset_seed
from msgspec import Meta
from pytorch_lightning.callbacks import Checkpoint, RichProgressBar, TQDMProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.plugins.environments import MPIEnvironment, SLURMEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from safetensors.torch import save_file

from unified.atomic import atomic_path, remove_leftovers, write_text
from unified.data.module import WindowDataModule
from unified.errors import UserError, first_line
from unified.model.plain import conform
from unified.training.callbacks.average import AveragedWeights
from unified.training.callbacks.checkpointing import Checkpointing, Interrupted
from unified.training.callbacks.closed_loop import ClosedLoopEvaluation
from unified.training.callbacks.dashboard import Dashboard
from unified.training.callbacks.films import Films
from unified.training.callbacks.finite import FiniteGuard
from unified.training.callbacks.progress import RunProgress
from unified.training.checkpoints import FOLDER as CHECKPOINTS
from unified.training.checkpoints import (
    AtomicCheckpointIO,
    check_same_architecture,
    list_checkpoints,
    newest_checkpoint,
    read_checkpoint,
    tensors_of,
)
from unified.training.complaints import Parser, origin_of, shorten
from unified.training.keys import check_options
from unified.training.network import describe_model, register_with_parser
from unified.training.optimizers import is_bfloat16_fast
from unified.training.options import Options, UsageError
from unified.training.run_folder import (
    FOLDER_VARIABLE,
    TENSORBOARD,
    MetricsFile,
    SharedFolder,
    describe_run,
    held_folder,
    latest_folder,
    new_folder,
    remove_metrics,
)
from unified.training.schedule import Schedule

__all__ = ["ClosedLoopEvaluation", "run"]

TASKS = "tasks"  # imported by name, so that its classes can be named without a path
DEFAULT_DATA = WindowDataModule
_Seed = Annotated[int, Meta(ge=0, lt=1 << 32)]
MEETING_VARIABLE = "UNIFIED_MEETING"  # set for the processes of other devices only
OPTIONAL_CALLBACKS = {"ema": AveragedWeights, "checkpoints": Checkpointing, "films": Films}


class LocalDDP(DDPStrategy):
    """Processes of one machine: they meet in a file and talk over the loopback device; no port is open to others.

    The first process makes the file's folder; those that it starts find it in the environment.
    """

    def __init__(self) -> None:
        # A process whose rows miss a query has no gradient for that query's decoder; others wait for it otherwise.
        super().__init__(find_unused_parameters=True)
        self._place: str | None = None
        if MEETING_VARIABLE not in os.environ:
            os.environ[MEETING_VARIABLE] = self._place = tempfile.mkdtemp(prefix="unified-")
            atexit.register(shutil.rmtree, self._place, ignore_errors=True)

    def setup_distributed(self) -> None:
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(variable, "lo0" if sys.platform == "darwin" else "lo")
        reset_seed()
        self.set_world_ranks()
        self._process_group_backend = self._get_process_group_backend()
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group(
                self._process_group_backend,
                init_method=f"file://{os.environ[MEETING_VARIABLE]}/ranks",
                rank=self.global_rank,
                world_size=self.world_size,
                timeout=self._timeout,
                device_id=None if self.root_device.type == "cpu" else self.root_device,
            )

    def teardown(self) -> None:
        super().teardown()
        if self._place is not None:
            os.environ.pop(MEETING_VARIABLE, None)


class UnifiedCLI(LightningCLI):
    """Parses a ready tree of options and runs one verb on it."""

    def __init__(self, options: Options, tree: dict[str, Any], folder: Path) -> None:
        self.options, self.tree, self.folder = options, tree, folder
        self.failure: UserError | None = None
        super().__init__(
            pl.LightningModule,
            pl.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            save_config_callback=None,
            seed_everything_default=0,
            trainer_defaults={"num_sanity_val_steps": 0, "enable_model_summary": False, "log_every_n_steps": 20},
            parser_class=Parser,
        )

    def subcommands(self) -> dict[str, set[str]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Only the one that is run: each gets a parser of its own, which takes a tenth of a second."""
        return {self.options.verb: LightningCLI.subcommands()[self.options.verb]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--run_dir", type=str | None, default=None, help="Folder of the run.")
        for key, callback in OPTIONAL_CALLBACKS.items():
            parser.add_lightning_class_args(callback, key)
        parser.link_arguments("data", "model.init_args.spec", compute_fn=_spec_of, apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        verb = self.options.verb
        if self.options.help_all:
            self._subcommand_parsers[verb].print_help()
            raise SystemExit(0)
        known = _known_keys(self._subcommand_parsers[verb])
        check_options(self.options, self.tree, known)
        self.config = parser.parse_object({"subcommand": verb, verb: self.tree})

    def instantiate_classes(self) -> None:
        for kind in (pl.LightningModule, pl.LightningDataModule, pl.Callback):
            self.parser.add_instantiator(self._construct, kind)
        try:
            super().instantiate_classes()
        except ValueError as error:  # jsonargparse wraps what constructors raise into pages of text
            if self.failure is None:
                raise UsageError(shorten(str(error))) from error
            raise self.failure from error

    def _construct(self, class_type: type, *args: Any, **kwargs: Any) -> Any:
        try:
            return class_type(*args, **kwargs)
        except UserError as error:
            self.failure = error
            raise
        except (TypeError, ArithmeticError, LookupError) as error:
            self.failure = UsageError(f"{class_type.__name__} cannot be made of these options: {first_line(error)}.")
            raise self.failure from error

    def _parse_ckpt_path(self) -> None:
        """Lightning lets a checkpoint's stored options win over the command line here; `_check_checkpoint` does not."""

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        config = self.config_init[self.options.verb]["trainer"]
        plugins = config.get("plugins") or []
        kwargs["plugins"] = [*(plugins if isinstance(plugins, list) else [plugins]), AtomicCheckpointIO()]
        kwargs["default_root_dir"] = str(self.folder)
        kwargs["precision"] = _precision(config)
        if config.get("strategy") in ("ddp", "auto") and _num_devices(config) > 1:
            kwargs["strategy"] = "ddp_find_unused_parameters_true" if _is_cluster(config) else LocalDDP()
        if config.get("logger") in (None, True):
            tensorboard = TensorBoardLogger(
                self.folder / TENSORBOARD, name=self.folder.name, version="", default_hp_metric=False
            )
            kwargs["logger"] = [tensorboard, MetricsFile(self.folder)]
        try:
            trainer = super().instantiate_trainer(**kwargs)
        except (TypeError, ValueError) as error:
            raise UsageError(f"trainer: {first_line(error)}") from error
        extra: list[pl.Callback] = [SharedFolder(), FiniteGuard(), Dashboard()]
        bar = trainer.progress_bar_callback
        if bar is not None and type(bar) in (RichProgressBar, TQDMProgressBar):  # Lightning's choice, not the user's
            trainer.callbacks.remove(bar)  # pyright: ignore[reportAttributeAccessIssue]
            extra.append(RunProgress())
        trainer.callbacks = _in_order([*trainer.callbacks, *extra])  # pyright: ignore[reportAttributeAccessIssue]
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        if self.options.print_model:
            sys.stdout.write(describe_model(self.model))
            return
        arguments = self.config_init[subcommand]
        arguments["ckpt_path"] = self._checkpoint(subcommand, arguments.get("ckpt_path"))
        if self.trainer.is_global_zero and not self.trainer.fast_dev_run:  # pyright: ignore[reportAttributeAccessIssue]
            self._open_folder(subcommand, is_new=subcommand == "fit" and arguments["ckpt_path"] is None)
        os.environ[FOLDER_VARIABLE] = str(self.folder)
        try:
            super()._run_subcommand(subcommand)
        finally:
            del os.environ[FOLDER_VARIABLE]

    def _checkpoint(self, verb: str, wanted: str | None) -> str | None:
        if wanted is None:
            if verb != "fit":
                raise UsageError(f"`unified {verb}` needs a trained model: add --ckpt_path FILE or --ckpt_path last.")
            if list_checkpoints(self.folder) and self.trainer.is_global_zero and not self.trainer.fast_dev_run:  # pyright: ignore[reportAttributeAccessIssue]
                raise UsageError(
                    f"{self.folder} already holds a run with checkpoints. Continue it with --ckpt_path last, "
                    "or choose another --run_dir."
                )
            return None
        path = newest_checkpoint(self.folder) if wanted == "last" else Path(wanted)
        stored = read_checkpoint(path, mmap=True)
        changed = check_same_architecture(path, stored.get("hyper_parameters", {}), dict(self.model.hparams))
        for key, (old, new) in changed.items():
            self._say(f"{key}: {old} in the checkpoint, {new} now (this run's value counts)")
        self._say(f"checkpoint: {path} (step {stored['global_step']})")
        return str(path)

    def _open_folder(self, verb: str, is_new: bool) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if is_new:
            remove_metrics(self.folder)
        describe_run(self.folder, self.options.argv)
        if verb == "fit":
            for left in (self.folder / CHECKPOINTS).glob(".step-*.ckpt.????????"):
                remove_leftovers(left.with_name(left.name[1:-9]))
            config = self.parser.dump(self.config, skip_none=False)
            values = yaml.safe_load(config)
            values = values.get(verb, values)
            for key in ("ckpt_path", "run_dir"):
                values.pop(key, None)
            write_text(self.folder / "config.yaml", yaml.safe_dump(values, sort_keys=False))
        self._say(f"run folder: {self.folder}")

    def after_fit(self) -> None:
        if self.trainer.fast_dev_run or not self.trainer.is_global_zero:  # pyright: ignore[reportAttributeAccessIssue]
            return
        self._write_metrics("fit")
        watch = shlex.join(["tensorboard", "--logdir", str(self.folder / TENSORBOARD)])
        self._say(f"trained {self.trainer.global_step} steps; watch: {watch}")
        if (self.folder / "pretrained").is_dir():
            model, data = str(self.folder / "pretrained"), self.datamodule
            self._say(f"model: {model}")
            if getattr(data, "val_windows", None) is not None and hasattr(self.model, "queries"):
                words = ["--policy", model, *(word for root in data.roots for word in ("--data", root))]
                self._say(f"next: unified evaluate {shlex.join(words)}")

    def after_validate(self) -> None:
        self._write_metrics("validate")

    def after_test(self) -> None:
        self._write_metrics("test")

    def predict(self, **arguments: Any) -> None:
        """Answer all queries and write one safetensors file a batch."""
        batches = self.trainer.predict(**arguments) or []
        for index, answers in enumerate(batches):
            tensors = {name: tensor.contiguous() for name, tensor in tensors_of(answers)}
            with atomic_path(self.folder / "predictions" / f"batch-{index:05d}.safetensors") as temporary:
                save_file(tensors, temporary)
        self._say(f"predictions of {len(batches)} batches: {self.folder / 'predictions'}")

    def _write_metrics(self, verb: str) -> None:
        metrics = {key: float(value) for key, value in self.trainer.callback_metrics.items()}
        if self.trainer.is_global_zero and not self.trainer.fast_dev_run:  # pyright: ignore[reportAttributeAccessIssue]
            values = {"step": self.trainer.global_step, **metrics}
            write_text(self.folder / f"{verb}.json", json.dumps(values, indent=2) + "\n")

    def _say(self, text: str) -> None:
        if self.trainer.is_global_zero:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()


def run(options: Options) -> int:
    """Run what the options say.

    Raises:
        UsageError: for wrong options; it names file and line.
        UserError: for what goes wrong later.
    """
    _prepare()
    tree = options.resolve()
    conform(tree.get("seed_everything"), _Seed | bool | None, "option 'seed_everything'", UsageError)
    data = tree.get("data")
    if isinstance(data, dict) and "class_path" not in data:
        path = f"{DEFAULT_DATA.__module__}.{DEFAULT_DATA.__name__}"
        tree["data"] = {"class_path": path, "init_args": data}
        _move_origins(options, "data.", "data.init_args.")
    if options.print_config:
        sys.stdout.write(yaml.safe_dump(tree, sort_keys=False))
        return 0
    try:
        with _folder(options, tree) as folder:
            UnifiedCLI(options, tree, folder)
    except Interrupted as stop:
        where = f"; continue with --ckpt_path {shlex.quote(str(stop.checkpoint))}" if stop.checkpoint else ""
        sys.stderr.write(f"unified: stopped by signal {stop.signum}{where}\n")
        return int(stop.code or 0)
    except SystemExit:
        if not options.help_all:
            raise
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or re.search("can't allocate memory|out of memory", str(error)):
            advice = "Use a smaller --data.batch_size, --trainer.accumulate_grad_batches or a smaller network."
            raise UserError(f"Out of memory: {first_line(error)} {advice}") from error
        raise
    except UserError as error:
        raise type(error)(f"{origin_of(options, str(error))}{error}") from error
    except MisconfigurationException as error:
        raise UsageError(f"trainer: {first_line(error)}") from error
    return 0


def _folder(options: Options, tree: dict[str, Any]) -> AbstractContextManager[Path]:
    """Where everything goes; one that is trained in is held, so that no other process trains there too.

    Processes that this one starts for other devices find the answer in the environment.
    """
    conform(tree.get("run_dir"), str | None, "option 'run_dir'", UsageError)
    name = options.configs[0].stem if options.configs else options.verb
    given = tree.get("run_dir") or os.environ.get(FOLDER_VARIABLE)
    is_dry = options.print_model or options.help_all or (tree.get("trainer") or {}).get("fast_dev_run")
    if options.verb != "fit" or is_dry or rank_zero_only.rank:  # pyright: ignore[reportFunctionMemberAccess]
        return nullcontext(Path(given) if given else latest_folder(name))
    if given or tree.get("ckpt_path") is not None:
        return held_folder(Path(given) if given else latest_folder(name))
    return new_folder(name)


def _prepare() -> None:
    set_parsing_settings(instantiate_subclass_spec_in_any=False, subclasses_enabled=[Schedule])
    register_with_parser()
    importlib.import_module(TASKS)
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    for noise in (
        ".*does not have many workers.*",
        ".*GPU available but not used.*",
        ".*treespec, LeafSpec.*",
        ".*logging interval.*",
        ".*Total length of `list` across ranks is zero.*",  # nothing held out, as asked for
    ):
        warnings.filterwarnings("ignore", noise)


def _known_keys(parser: LightningArgumentParser) -> dict[str, Any]:
    top = {action.dest.split(".")[0] for action in parser._actions} - {"help", "config", "print_config"}
    types: dict[str, Any] = dict.fromkeys(sorted(top), Any)
    return types | {
        "trainer": pl.Trainer,
        "model": pl.LightningModule,
        "data": pl.LightningDataModule,
        **OPTIONAL_CALLBACKS,
    }


def _precision(trainer: Any) -> Any:
    """The precision asked for, or float32 where bfloat16 would be emulated."""
    precision = trainer.get("precision")
    if not str(precision).startswith("bf16") or not _on_cpu(trainer) or is_bfloat16_fast():
        return precision
    sys.stderr.write(
        f"unified: trainer.precision is 32-true instead of {precision}: this processor has no instructions for bfloat16"
        " and would emulate it, many times slower.\n"
    )
    return "32-true"


def _on_cpu(trainer: Any) -> bool:
    accelerator = trainer.get("accelerator")
    return accelerator == "cpu" or (accelerator in (None, "auto") and not torch.accelerator.is_available())


def _num_devices(trainer: Any) -> int:
    devices = trainer.get("devices")
    if isinstance(devices, list):
        count = len(devices)
    elif str(devices).isdigit():
        count = int(devices)
    else:
        count = 1 if _on_cpu(trainer) else torch.accelerator.device_count()
    return count * int(trainer.get("num_nodes") or 1)


def _is_cluster(trainer: Any) -> bool:
    """Whether processes are on several machines, or were not started by this one."""
    started_by_others = any(kind.detect() for kind in (SLURMEnvironment, TorchElasticEnvironment, MPIEnvironment))
    return int(trainer.get("num_nodes") or 1) > 1 or started_by_others


def _spec_of(data: pl.LightningDataModule) -> dict[str, Any]:
    spec: Any = data.spec  # pyright: ignore[reportAttributeAccessIssue]
    return spec if isinstance(spec, dict) else spec.to_dict()


def _in_order(callbacks: list[pl.Callback]) -> list[pl.Callback]:
    """Averages first (others read them), checkpoints last (they store what the others changed)."""

    def rank(callback: pl.Callback) -> int:
        return 0 if isinstance(callback, AveragedWeights) else 2 if isinstance(callback, Checkpoint) else 1

    return sorted(callbacks, key=rank)


def _move_origins(options: Options, old: str, new: str) -> None:
    for key in [key for key in options.origins if key.startswith(old) and not key.startswith(new)]:
        options.origins[new + key.removeprefix(old)] = options.origins.pop(key)
