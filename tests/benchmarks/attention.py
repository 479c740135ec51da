"""Attention forward and backward on a CPU: plain matrix products against PyTorch's fused kernel.

    python -m tests.benchmarks.attention [--heads 3] [--channels 64] [--batch-size 64]

The reason for the branch in `unified.model.network.backbone.attend`.
"""

import argparse
import sys
import time

import torch
from torch.nn import functional as F

from tests.benchmarks.model import alternate
from unified.model.network.backbone import attend


def main() -> int:
    """Print milliseconds for several sequence lengths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    sys.stdout.write(f"{'tokens':>6}{'plain ms':>12}{'fused ms':>12}{'ratio':>8}\n")
    for num_tokens in (40, 112, 184, 360):
        shape = (args.batch_size, args.heads, num_tokens, args.channels)
        query, key, value = (torch.randn(shape, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
        seconds = alternate(
            {
                "plain": lambda q=query, k=key, v=value: attend(q, k, v).sum().backward(),
                "fused": lambda q=query, k=key, v=value: F.scaled_dot_product_attention(q, k, v).sum().backward(),
            },
            10,
            time.process_time,
        )
        plain, fused = 1e3 * seconds["plain"], 1e3 * seconds["fused"]
        sys.stdout.write(f"{num_tokens:>6}{plain:>12.2f}{fused:>12.2f}{fused / plain:>8.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
