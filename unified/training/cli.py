"""`unified fit | validate | test | predict`: YAML files and `--key value` to a Lightning run."""

import os
import sys
from collections.abc import Sequence

from unified.cli import lasting_output
from unified.errors import UserError
from unified.training.options import UsageError, parse

EXAMPLES = """
unified fit -c configs/tiny.yaml
unified fit -c configs/tiny.yaml --ckpt_path last --trainer.max_steps 220
unified validate -c configs/tiny.yaml --ckpt_path last
unified fit -c configs/tiny.yaml -c configs/sizes/small.yaml --data.batch_size 16 --trainer.max_steps 10
unified fit -c configs/world_action.yaml -c configs/sizes/base.yaml --print-model
"""

HELP = """usage: unified {verb} -c CONFIG [-c OVERLAY ...] [--key value ...]

{what}

The keys of a config are arguments of the classes that it names. Later files are laid over earlier ones, --key over all;
`${{data.image_size}}` inside a file refers to another value. Short names such as `-c sizes/base` are found in configs/.

options:
  -c, --config FILE        YAML file; may be repeated
  --run_dir DIR            where everything goes (default: runs/NAME of the first config, NAME-2, ...)
  --ckpt_path FILE|last    checkpoint to continue from (fit) or to judge (the others)
  --seed N                 seed of data, model and training
  --model.KEY VALUE        a task's options, for example --model.network.depth 9, or
                           --model.optimizer Muon --model.optimizer.lr 0.01
  --data.KEY VALUE         data, for example --data.batch_size 256
  --trainer.KEY VALUE      Lightning's Trainer, for example --trainer.max_steps 1000 --trainer.max_time 00:00:10:00
  --checkpoints.KEY VALUE  every_n_steps, keep, export; also --ema.decay, --films.every_n_validations
  --print-model            parameters and FLOPs of each part, then stop
  --print-config           the options as they would be used, then stop
  --help-all               every option with its default

examples:
{examples}
"""

WHAT = {
    "fit": "Train what a YAML describes. Ctrl-C, SIGTERM and SIGHUP save a checkpoint; `--ckpt_path last` goes on.",
    "validate": "Validation losses and metrics of a checkpoint.",
    "test": "The same as validate, on the test windows.",
    "predict": "The answers of a checkpoint to its task's queries, as safetensors files in the run's folder.",
}


def main(argv: Sequence[str]) -> int:
    """Run a verb and return its exit status: 0 done, 1 failed, 2 wrong usage, 128 + N for signal N (130 Ctrl-C)."""
    argv = list(argv)
    if argv and argv[0] in WHAT and ("-h" in argv or "--help" in argv or len(argv) == 1):
        examples = "\n".join(f"  {line}" for line in EXAMPLES.strip().splitlines())
        sys.stdout.write(HELP.format(verb=argv[0], what=WHAT[argv[0]], examples=examples))
        return 0 if len(argv) > 1 else 2
    try:
        options = parse(argv)
        from unified.training import lightning  # torch comes with it, so not before usage errors are answered

        with lasting_output():
            return lightning.run(options)
    except UserError as error:
        if os.environ.get("UNIFIED_DEBUG"):
            raise
        sys.stderr.write(f"unified: error: {error}\n")
        return 2 if isinstance(error, UsageError) else 1
