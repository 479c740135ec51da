"""Our policy beside LeRobot's `act`, `diffusion` and `multi_task_dit`: training speed and latency on the same batch.

    python -m tests.benchmarks.peers [--image-size 64 --cameras 1] [--threads 1] [--json FILE]

Needs the extra `peers`; nothing is downloaded: image backbones start at random, and a tiny CLIP is made here. Every
policy trains on the same pictures, already loaded (LeRobot's own loader would be the slowest part), and is timed in
turn. A sample is a moment with a plan to imitate: ours takes windows of five, peers take each by itself. Peers are
shown as they come (float32) and under the bfloat16 autocast that ours uses.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.benchmarks.model import ALL, alternate, build, demo_spec, window_loss
from tests.worlds import random_batch
from unified.model.batch import Batch
from unified.model.spec import ACTION, PROPRIO, DataSpec

CHUNK = 16


def tiny_clip(folder: Path, image_size: int, words: list[str]) -> str:
    """A random CLIP of 3 M parameters with a word tokenizer, saved where LeRobot can load it; its path."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig, PreTrainedTokenizerFast

    path = folder / "tiny-clip"
    vocabulary = {word: index for index, word in enumerate(["<unk>", "<s>", "<pad>", "</s>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 3)]
    )
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(path)
    text = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=32,
        bos_token_id=1,
        eos_token_id=3,
        pad_token_id=2,
        projection_dim=128,
    )
    vision = CLIPVisionConfig(
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=6,
        image_size=image_size,
        patch_size=16,
        projection_dim=128,
    )
    CLIPModel(
        CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=128)
    ).save_pretrained(path)
    return str(path)


def peer(name: str, clip: str, spec: DataSpec) -> nn.Module:
    """A LeRobot policy at its smallest reasonable size, for these cameras, four proprio and four action dimensions."""
    from lerobot.configs import FeatureType, PolicyFeature
    from lerobot.policies import get_policy_class, make_policy_config

    options: dict[str, dict[str, Any]] = {
        "act": {
            "chunk_size": CHUNK,
            "n_action_steps": 8,
            "dim_model": 128,
            "n_heads": 4,
            "dim_feedforward": 512,
            "n_encoder_layers": 2,
            "n_vae_encoder_layers": 2,
            "pretrained_backbone_weights": None,
        },
        "diffusion": {
            "horizon": CHUNK,
            "n_action_steps": 8,
            "n_obs_steps": 1,
            "down_dims": (32, 64, 128),
            "pretrained_backbone_weights": None,
            "use_group_norm": True,
            "noise_scheduler_type": "DDIM",
            "num_inference_steps": 10,
            "crop_shape": None,
        },
        "multi_task_dit": {
            "horizon": CHUNK,
            "n_action_steps": 8,
            "n_obs_steps": 1,
            "hidden_dim": 128,
            "num_layers": 4,
            "num_heads": 4,
            "vision_encoder_name": clip,
            "text_encoder_name": clip,
            "image_crop_shape": None,
            "tokenizer_max_length": 16,
            "objective": "flow_matching",
            "num_integration_steps": 10,
        },
    }
    features = {
        "observation.state": PolicyFeature(FeatureType.STATE, (4,)),
        **{
            f"observation.images.{name}": PolicyFeature(FeatureType.VISUAL, (3, *spec.image_size))
            for name in spec.cameras
        },
    }
    config = make_policy_config(
        name,
        device="cpu",
        input_features=features,
        output_features={"action": PolicyFeature(FeatureType.ACTION, (4,))},
        **options[name],
    )
    return get_policy_class(name)(config)


def peer_batch(batch: Batch, tokenizer: Any) -> dict[str, Tensor]:
    """The first moments of our windows in LeRobot's keys; plans repeated to the peers' longer chunk."""
    plan = batch.ahead[ACTION][:, 0]
    chunk = plan.repeat(1, CHUNK // plan.shape[1], 1)
    text = tokenizer(list(batch.task), padding="max_length", max_length=16, return_tensors="pt")
    pictures = (batch.images[:, :1] / 2 + 0.5).unbind(2)
    return {
        **{f"observation.images.camera{number}": picture for number, picture in enumerate(pictures)},
        "observation.state": batch.at[PROPRIO][:, :1],
        "action": chunk,
        "action_is_pad": torch.zeros(chunk.shape[:2], dtype=torch.bool),
        "observation.language.tokens": text["input_ids"],
        "observation.language.attention_mask": text["attention_mask"].bool(),
    }


def for_policy(name: str, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """`act` looks at one observation without a step dimension."""
    if name == "act":
        squeezed = {
            k: v[:, -1] if k.startswith(("observation.images", "observation.state")) else v for k, v in batch.items()
        }
        return squeezed
    return dict(batch)


def train_step(network: nn.Module, loss: Callable[[], Tensor], bf16: bool) -> Callable[[], None]:
    """One update with AdamW."""
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-4, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


def check_packages() -> None:
    """Say what is missing before anything is built.

    Raises:
        SystemExit: naming the packages and how they are installed.
    """
    missing = [name for name in ("accelerate", "diffusers", "tokenizers", "transformers") if not find_spec(name)]
    if missing:
        sys.exit(f"This needs {', '.join(missing)}: `.venv/bin/pip install -e '.[peers]'`.")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    check_packages()
    logging.disable(logging.WARNING)
    torch.set_num_threads(args.threads)
    clock = time.process_time if args.threads == 1 else time.perf_counter
    spec = demo_spec(args.image_size, args.cameras)
    batch = random_batch(spec, args.batch_size)
    words = sorted({word for task in batch.task for word in task.lower().split()})
    with tempfile.TemporaryDirectory() as folder:
        clip = tiny_clip(Path(folder), args.image_size, words)
        rows = _measure(batch, clip, spec, clock)
    header = f"{'policy':<34}{'M params':>9}{'train samples/s':>17}{'decision ms':>13}"
    sys.stdout.write(header + "\n")
    for name, row in rows.items():
        sys.stdout.write(f"{name:<34}{row['params_m']:>9.1f}{row['samples_per_s']:>17.1f}{row['decision_ms']:>13.1f}\n")
    if args.json:
        args.json.write_text(
            json.dumps(
                {"threads": args.threads, "image_size": args.image_size, "cameras": args.cameras, "rows": rows},
                indent=2,
            )
            + "\n",
            encoding="utf-8",
        )
    return 0


def _measure(batch: Batch, clip: str, spec: DataSpec, clock: Callable[[], float]) -> dict[str, dict[str, float]]:
    from transformers import AutoTokenizer

    ours = build(spec=spec)
    theirs = peer_batch(batch, AutoTokenizer.from_pretrained(clip))
    steps, decisions, networks = {}, {}, {}

    present = batch.window(0, 0).select(torch.tensor([0]))
    for label, queries in {"ours, plans": ("policy",), "ours, plans, films and commands": ALL}.items():
        loss = partial(window_loss, ours, batch, queries)
        steps[label], networks[label] = train_step(ours, loss, bf16=True), ours
        decisions[label] = lambda: ours.sample(present, "policy")
    for name in ("act", "diffusion", "multi_task_dit"):
        network = peer(name, clip, spec)
        one = {k: v[:1] for k, v in for_policy(name, theirs).items() if k.startswith("observation")}
        if name != "act":
            one = {
                k: v[:, -1] if k.startswith(("observation.images", "observation.state")) else v for k, v in one.items()
            }
        for bf16 in (False, True):
            label = f"LeRobot {name}, {'bf16' if bf16 else 'as it comes'}"

            def peer_loss(network: Any = network, name: str = name) -> Tensor:
                return network.forward(for_policy(name, theirs))[0]

            def decide(network: Any = network, one: dict[str, Tensor] = one) -> None:
                network.eval()
                network.reset()
                with torch.inference_mode():
                    network.select_action(dict(one))
                network.train()

            steps[label], networks[label], decisions[label] = train_step(network, peer_loss, bf16), network, decide
    seconds = alternate(steps, 5, clock)
    ours.eval()
    latency = alternate(decisions, 9, clock)
    return {
        label: {
            "params_m": sum(p.numel() for p in networks[label].parameters()) / 1e6,
            "samples_per_s": len(batch) * (batch.num_moments if networks[label] is ours else 1) / seconds[label],
            "decision_ms": 1e3 * latency[label],
        }
        for label in steps
    }


if __name__ == "__main__":
    sys.exit(main())
