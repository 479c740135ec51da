"""Instructions in words to tokens. A text encoder knows how many tokens it gives and turns strings into them."""

import re
import zlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unified.errors import UserError, check_numbers


@runtime_checkable
class TextModel(Protocol):
    """What `UnifiedModel` needs of a text encoder."""

    num_tokens: int

    def __call__(self, texts: Sequence[str]) -> Float[Tensor, " text token dim"]: ...


class AttentionPool(nn.Module):
    """A fixed number of learned queries that each take a weighted mean of the words."""

    def __init__(self, in_dim: int, dim: int, num_tokens: int):
        super().__init__()
        self.queries = nn.Linear(in_dim, num_tokens, bias=False)
        self.proj = nn.Linear(in_dim, dim)

    def forward(self, words: Float[Tensor, " text word in_dim"], is_pad: Tensor) -> Float[Tensor, " text token dim"]:
        scores = self.queries(words).transpose(1, 2).masked_fill(is_pad[:, None], float("-inf"))
        return self.proj(scores.softmax(dim=-1) @ words)


class TextEncoder(nn.Module):
    """Small text encoder of our own, trained with the model; needs no download and no vocabulary file.

    Words are hashed into a table (CRC-32, the same on every machine), get their place in the sentence, pass one
    self-attention layer and are pooled.

    Args:
        dim: width of the tokens.
        num_tokens: tokens an instruction becomes.
        num_buckets: rows of the word table.
        max_words: longer instructions are refused.
    """

    def __init__(
        self, dim: int, num_tokens: int = 1, num_buckets: int = 4096, max_words: int = 64, word_dim: int = 128
    ):
        super().__init__()
        sizes = {"num_tokens": num_tokens, "num_buckets": num_buckets, "max_words": max_words, "word_dim": word_dim}
        check_numbers(least=1, prefix="text.", **sizes)
        self.num_tokens, self.num_buckets, self.max_words = num_tokens, num_buckets, max_words
        self.words = nn.Embedding(num_buckets + 1, word_dim, padding_idx=0)
        self.places = nn.Parameter(torch.randn(max_words, word_dim) * 0.02)
        self.layer = nn.TransformerEncoderLayer(
            word_dim, 2, 2 * word_dim, dropout=0.0, batch_first=True, norm_first=True, activation="gelu"
        )
        self.pool = AttentionPool(word_dim, dim, num_tokens)

    def forward(self, texts: Sequence[str]) -> Float[Tensor, " text token dim"]:
        """Encode instructions.

        Raises:
            UserError: for an instruction of more than `max_words` words.
        """
        rows = [self._hash(text) for text in texts]
        longest = max(len(row) for row in rows)
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self.places.device)
        is_pad = padded == 0
        words = self.words(padded) + self.places[:longest]
        return self.pool(self.layer(words, src_key_padding_mask=is_pad), is_pad)

    def _hash(self, text: str) -> list[int]:
        words = re.findall(r"\w+|[^\w\s]", text.lower()) or [""]
        if len(words) > self.max_words:
            raise UserError(
                f"Instruction of {len(words)} words, at most max_words ({self.max_words}): {text[:60]!r}..."
            )
        return [1 + zlib.crc32(word.encode()) % self.num_buckets for word in words]


class HuggingFaceTextEncoder(nn.Module):
    """A pretrained text encoder from `transformers`, frozen, by name or local path; only the pooling is trained.

    Its outputs are remembered for each distinct instruction, so that a training run encodes each once. Its weights are
    not part of our checkpoints: the name is.

    Args:
        dim: width of the tokens.
        name_or_path: for example "google/t5-v1_1-small" or a folder.
        num_tokens: tokens an instruction becomes.
    """

    def __init__(self, dim: int, name_or_path: str, num_tokens: int = 1):
        super().__init__()
        try:
            from transformers import AutoModel, AutoTokenizer  # pyright: ignore[reportMissingImports]  # heavy, an extra
        except ImportError as error:
            raise UserError("Pretrained text encoders need a package: `pip install 'transformers>=5.4'`.") from error
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(name_or_path)
            model = AutoModel.from_pretrained(name_or_path)
        except (OSError, ValueError) as error:
            raise UserError(
                f"text encoder {name_or_path!r} cannot be loaded: {str(error).splitlines()[0]} "
                "Give a local folder, or the name of a model that can be downloaded."
            ) from error
        encoder = getattr(model, "text_model", None) or (
            model.get_encoder() if model.config.is_encoder_decoder else model
        )
        self._encoder = [encoder.eval().requires_grad_(False)]  # in a list: not a submodule, so not in the checkpoint
        self._remembered: dict[str, Tensor] = {}
        self.num_tokens = num_tokens
        self.pool = AttentionPool(encoder.config.hidden_size, dim, num_tokens)

    def forward(self, texts: Sequence[str]) -> Float[Tensor, " text token dim"]:
        device = self.pool.proj.weight.device
        states = [self._encode(text).to(device) for text in texts]
        words = nn.utils.rnn.pad_sequence(states, batch_first=True).to(self.pool.proj.weight.dtype)
        lengths = torch.tensor([len(state) for state in states], device=device)
        is_pad = torch.arange(words.shape[1], device=device) >= lengths[:, None]
        return self.pool(words, is_pad)

    @torch.no_grad()
    def _encode(self, text: str) -> Float[Tensor, " word in_dim"]:
        if text not in self._remembered:
            ids: dict[str, Int[Tensor, " 1 word"]] = dict(self._tokenizer(text, return_tensors="pt"))
            self._remembered[text] = self._encoder[0](**ids).last_hidden_state[0].float()
        return self._remembered[text]
