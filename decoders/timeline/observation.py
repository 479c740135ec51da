"""What is observed at one moment, and nothing of any other."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from decoders.observation import ObservationEncoder
from unified.model.timeline.sequence import Segment, grid_coordinates


class MomentEncoder(ObservationEncoder):
    """A moment's pictures to a grid of tokens each and feature points, its proprio to one token; see its base class."""

    def segments(self) -> tuple[Segment, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Of one moment: pictures camera by camera, feature points likewise, then proprio."""
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

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
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
        measured = self.normalizer.normalize(proprio[:, None], embodiment)
        parts = {
            "images": tokens.unflatten(0, (-1, cameras)).flatten(1, 2),
            "proprio": self.proprio_linear(measured, embodiment),
        }
        if self.keypoints is not None:
            parts["keypoints"] = self.keypoints(fine).unflatten(0, (-1, cameras)).flatten(1, 2)
        return parts
