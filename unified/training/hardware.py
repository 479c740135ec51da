"""What the processor at hand does fast."""

import torch


def is_bfloat16_fast(device: torch.device | str = "cpu") -> bool:
    """Whether matrices multiply faster in bfloat16 than in float32 there.

    A processor without instructions for it (AVX-512 BF16, AMX, Arm's BF16) emulates them, up to fifty times slower.
    """
    if torch.device(device).type != "cpu":
        return True
    return any(has_it for name, has_it in torch.cpu.get_capabilities().items() if "bf16" in name)
