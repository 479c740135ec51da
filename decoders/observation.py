"""What the model is told: pictures through a small convolutional stem, proprio per body, instructions in words."""

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from decoders.changes import PictureChanges
from decoders.frames import patchify
from decoders.keypoints import SHRINK, Keypoints, trunk
from decoders.vectors import EmbodimentLinear, Normalizer
from unified.data.stats import FARTHEST
from unified.errors import UserError, check_numbers
from unified.model.network.sequence import Segment, grid_coordinates
from unified.model.spec import PROPRIO, DataSpec


class ObservationEncoder(nn.Module):
    """A moment's pictures to a grid of tokens each and feature points, its proprio to one token.

    Args:
        dim: width of a token.
        spec: cameras, image size and bodies.
        patch_size: pixels along the side of the square that becomes one token, a power of two.
        width: channels of the first convolution; doubled with every halving of the picture.
        channels: 3 for RGB.
        keypoints: number of feature points that each picture gives, each a token, and one of all their places
            (`decoders.keypoints`); 0: none.
        first_stride: of the convolutions before them, 2 or 4 (`decoders.keypoints.trunk`).
        changes: show also how each moment differs from the one before, to whoever may see both: pixels along the side
            of the square that becomes one token (`decoders.changes`); 0: not.
        is_blind: show the same network nothing but grey, which tells what a policy owes to its eyes.
    """

    def __init__(
        self,
        dim: int,
        spec: DataSpec,
        patch_size: int = 16,
        width: int = 64,
        channels: int = 3,
        keypoints: int = 0,
        first_stride: int = 2,
        changes: int = 0,
        is_blind: bool = False,
    ):
        super().__init__()
        check_numbers(least=1, prefix="observation.", patch_size=patch_size, width=width, channels=channels)
        check_numbers(least=0, prefix="observation.", keypoints=keypoints, changes=changes)
        height, image_width = spec.image_size
        if height % patch_size or image_width % patch_size:
            raise UserError(f"image_size must be a multiple of patch_size ({patch_size}), got {height}x{image_width}.")
        self.spec, self.is_blind = spec, is_blind
        self.grid = (height // patch_size, image_width // patch_size)
        if keypoints and patch_size < SHRINK:
            raise UserError(f"keypoints need a patch_size of at least {SHRINK}, got {patch_size}.")
        self.trunk = trunk(channels, width, first_stride) if keypoints else nn.Identity()
        self.keypoints = Keypoints(2 * width, keypoints, dim) if keypoints else None
        step = patch_size // SHRINK
        self.stem = _Patches(2 * width, dim, step, step) if keypoints else _stem(channels, width, dim, patch_size)
        bodies = spec.embodiments
        self.normalizer = Normalizer([body.proprio_dim for body in bodies], spec.proprio_dim)
        self.proprio_linear = EmbodimentLinear(len(bodies), spec.proprio_dim, dim)
        self.changes = PictureChanges(dim, spec.image_size, changes, channels) if changes else None
        self.rate_linear = EmbodimentLinear(len(bodies), spec.proprio_dim, dim) if changes else None

    def segments(self) -> tuple[Segment, ...]:
        """Of one moment: pictures camera by camera, feature points likewise, proprio; then how these changed."""
        return *self._still_segments(), *self._change_segments()

    def _still_segments(self) -> tuple[Segment, ...]:
        cameras, (rows, columns) = len(self.spec.cameras), self.grid
        kinds = torch.arange(cameras).repeat_interleave(rows * columns)
        images = Segment("images", grid_coordinates(rows, columns).repeat(cameras, 1), kinds, "video", by_camera=True)
        proprio = Segment("proprio", grid_coordinates(1, 1), torch.zeros(1, dtype=torch.long), "proprio")
        if self.keypoints is None:
            return images, proprio
        tokens = self.keypoints.number + 1
        points = grid_coordinates(1, 1).repeat(tokens * cameras, 1)
        kinds = torch.arange(cameras).repeat_interleave(tokens)
        return images, Segment("keypoints", points, kinds, "video", by_camera=True), proprio

    def _change_segments(self) -> tuple[Segment, ...]:
        if self.changes is None:
            return ()
        cameras, (rows, columns) = len(self.spec.cameras), self.changes.grid
        kinds = torch.arange(cameras).repeat_interleave(rows * columns)
        grid = grid_coordinates(rows, columns).repeat(cameras, 1)
        images = Segment("images_change", grid, kinds, "video", by_camera=True, is_change=True)
        one = torch.zeros(1, dtype=torch.long)
        return images, Segment("proprio_change", grid_coordinates(1, 1), one, "proprio", is_change=True)

    def forward(
        self,
        images: Float[Tensor, " row camera channel height width"],
        proprio: Float[Tensor, " row proprio_dim"],
        embodiment: Int[Tensor, " row"],
    ) -> dict[str, Float[Tensor, " row token dim"]]:
        """Tokens of moments by segment."""
        pictures, cameras = images.flatten(0, 1), images.shape[1]
        if self.is_blind:  # one grey picture stands for all
            fine = self.trunk(torch.zeros_like(pictures[:1])).expand(len(pictures), -1, -1, -1)
        else:
            fine = self.trunk(pictures)
        tokens = self.stem(fine).flatten(2).transpose(1, 2)
        measured = self.normalizer.normalize(proprio[:, None], embodiment).clamp(-FARTHEST, FARTHEST)
        parts = {
            "images": tokens.unflatten(0, (-1, cameras)).flatten(1, 2),
            "proprio": self.proprio_linear(measured, embodiment),
        }
        if self.keypoints is not None:
            parts["keypoints"] = self.keypoints(fine).unflatten(0, (-1, cameras)).flatten(1, 2)
        return parts

    def compare(
        self,
        images: Float[Tensor, " row 2 camera channel height width"],
        proprio: Float[Tensor, " row 2 proprio_dim"],
        embodiment: Int[Tensor, " row"],
        seconds: Float[Tensor, " row"],
    ) -> dict[str, Float[Tensor, " row token dim"]]:
        """Tokens of what changed between two moments, `seconds` apart, by segment."""
        assert self.changes is not None
        assert self.rate_linear is not None
        cameras = images.shape[2]
        before, now = (images * (not self.is_blind)).movedim(2, 1).flatten(0, 1).unbind(1)
        measured = self.normalizer.normalize(proprio, embodiment).clamp(-FARTHEST, FARTHEST)
        rate = (measured[:, 1:] - measured[:, :1]) / seconds[:, None, None]
        return {
            "images_change": self.changes(before, now).unflatten(0, (-1, cameras)).flatten(1, 2),
            "proprio_change": self.rate_linear(rate, embodiment),
        }

    def set_stats(self, stats: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> None:
        """Normalise proprio with these statistics of the data from now on."""
        self.normalizer.set_stats(stats, PROPRIO, self.spec)


class _Patches(nn.Conv2d):
    """A convolution whose stride is its kernel, as one matrix product: PyTorch's own takes CPUs twice as long."""

    def forward(self, input: Tensor) -> Tensor:
        size = self.stride[0]
        tokens = F.linear(patchify(input, size), self.weight.flatten(1), self.bias)
        return tokens.transpose(1, 2).unflatten(2, (input.shape[2] // size, -1))


def _stem(channels: int, width: int, dim: int, patch_size: int) -> nn.Sequential:
    """Overlapping convolutions that shrink a picture by `patch_size`: by up to 4 first, then by 2 at a time."""
    if patch_size < 1 or patch_size & (patch_size - 1):
        raise UserError(f"patch_size of the observation encoder must be a power of two, got {patch_size}.")
    shrink = min(4, patch_size)
    kernel = 2 * shrink if shrink > 1 else 1
    layers: list[nn.Module] = [nn.Conv2d(channels, width, kernel, stride=shrink, padding=shrink // 2)]
    while shrink < patch_size:
        layers += [nn.GroupNorm(8, width), nn.GELU(), nn.Conv2d(width, 2 * width, kernel_size=4, stride=2, padding=1)]
        width, shrink = 2 * width, 2 * shrink
    return nn.Sequential(*layers, nn.GroupNorm(8, width), nn.GELU(), nn.Conv2d(width, dim, kernel_size=1))


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

    def check(self, texts: Iterable[str]) -> None:
        """Refuse instructions that are too long.

        Raises:
            UserError: naming the first.
        """
        for text in texts:
            self._hash(text)

    def _hash(self, text: str) -> list[int]:
        words = re.findall(r"\w+|[^\w\s]", text.lower()) or [""]
        if len(words) > self.max_words:
            raise UserError(
                f"An instruction has {len(words)} words (signs count too), text.init_args.max_words is "
                f"{self.max_words}: {text[:60]!r}... Shorten it, or train with more."
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

    def check(self, texts: Iterable[str]) -> None:
        """Refuse instructions that are too long.

        Raises:
            UserError: naming the first.
        """
        places = getattr(self._encoder[0].config, "max_position_embeddings", None)
        most = min(self._tokenizer.model_max_length, places or self._tokenizer.model_max_length)
        for text in texts:
            length = len(self._tokenizer(text)["input_ids"])
            if length > most:
                raise UserError(
                    f"An instruction has {length} tokens, the text encoder takes {most}: {text[:60]!r}... Shorten it, "
                    "or choose another encoder."
                )

    @torch.no_grad()
    def _encode(self, text: str) -> Float[Tensor, " word in_dim"]:
        if text not in self._remembered:
            ids: dict[str, Int[Tensor, " 1 word"]] = dict(self._tokenizer(text, return_tensors="pt"))
            self._remembered[text] = self._encoder[0](**ids).last_hidden_state[0].float()
        return self._remembered[text]
