"""Future frames as patches: what every decoder of video shares, and the decoder of pixels."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from unified.errors import UserError, check_numbers
from unified.model.batch import Batch, Observation
from unified.model.sequence import Segment, grid_coordinates
from unified.model.spec import DataSpec

FLOW_SCALE = 0.25  # an output of 1 moves by an eighth of the picture


def patchify(
    frames: Float[Tensor, " *batch channel height width"], patch_size: int
) -> Float[Tensor, " *batch token feature"]:
    """Frames to rows of patches, top left first; `unpatchify` is the exact inverse."""
    *batch, channels, height, width = frames.shape
    rows, columns = height // patch_size, width // patch_size
    blocks = frames.reshape(*batch, channels, rows, patch_size, columns, patch_size)
    return blocks.movedim((-4, -2), (-5, -4)).reshape(*batch, rows * columns, channels * patch_size**2)


def unpatchify(
    patches: Float[Tensor, " *batch token feature"], patch_size: int, height: int, width: int
) -> Float[Tensor, " *batch channel height width"]:
    """Rows of patches back to frames of this size."""
    *batch, _, features = patches.shape
    rows, columns, channels = height // patch_size, width // patch_size, features // patch_size**2
    blocks = patches.reshape(*batch, rows, columns, channels, patch_size, patch_size)
    return blocks.movedim((-5, -4), (-4, -2)).reshape(*batch, channels, height, width)


class FrameDecoder(nn.Module):
    """Future frames, in whatever space noise is added, as a grid of patches and back.

    A future patch's token starts from the observed patch at the same place (as image-to-video models concatenate their
    first frame), so that what stands still is at hand.

    Args:
        dim: width of a token.
        spec: cameras and number of future frames.
        channels: of a frame in the space where noise is added.
        size: height and width of a frame there.
        patch_size: cells along a patch's side.
        extra_features: outputs for each patch beside the frame's own.
        time_per_frame: each future frame carries its own diffusion time.
    """

    def __init__(
        self,
        dim: int,
        spec: DataSpec,
        channels: int,
        size: tuple[int, int],
        patch_size: int,
        extra_features: int = 0,
        time_per_frame: bool = False,
    ):
        super().__init__()
        check_numbers(least=1, patch_size=patch_size, channels=channels)
        if not spec.num_frames:
            raise UserError("A decoder of frames needs future frames: data.num_frames must be at least 1, got 0.")
        height, width = size
        if height % patch_size or width % patch_size:
            raise UserError(f"Frames must be a multiple of patch_size ({patch_size}), got {height}x{width}.")
        self.spec, self.channels, self.size, self.patch_size = spec, channels, size, patch_size
        self.time_per_frame = time_per_frame
        self.grid = (height // patch_size, width // patch_size)
        features = channels * patch_size**2
        self.embed_linear = nn.Linear(features, dim)
        self.context_linear = nn.Linear(dim, dim)
        self.decode_linear = nn.Linear(dim, features + extra_features)
        nn.init.zeros_(self.decode_linear.weight)
        nn.init.zeros_(self.decode_linear.bias)

    def segment(self, name: str) -> Segment:
        """Camera by camera, frame by frame, patch by patch."""
        num_frames, num_cameras, (rows, columns) = self.spec.num_frames, len(self.spec.cameras), self.grid
        times = [float((frame + 1) * self.spec.frame_stride) for frame in range(num_frames)]
        coordinates = grid_coordinates(times, rows, columns).repeat(num_cameras, 1)
        kinds = torch.arange(num_cameras).repeat_interleave(num_frames * rows * columns)
        frames = torch.arange(num_frames).repeat_interleave(rows * columns).repeat(num_cameras)
        groups = frames if self.time_per_frame else torch.zeros_like(frames)
        return Segment(name, coordinates, kinds, groups, by_camera=True)

    def event_shape(self) -> tuple[int, ...]:
        """Shape of one sample's future frames: camera, frame, channel, height, width."""
        return (len(self.spec.cameras), self.spec.num_frames, self.channels, *self.size)

    def time_index(self) -> tuple[int, ...]:
        """Leading event dimensions that the diffusion times are aligned with: (camera, frame), or none."""
        return (1, self.spec.num_frames) if self.time_per_frame else ()

    def is_pad(self, batch: Batch) -> Bool[Tensor, " batch camera frame 1 1 1"]:
        """True for frames past the end of the episode and for cameras that the body lacks."""
        shape = (len(batch), len(self.spec.cameras), self.spec.num_frames)
        pad = torch.zeros(shape, dtype=torch.bool, device=batch.observation.images.device)
        if batch.video_is_pad is not None:
            pad = pad | batch.video_is_pad[:, None]
        if batch.observation.camera_is_pad is not None:
            pad = pad | batch.observation.camera_is_pad[:, :, None]
        return pad[..., None, None, None]

    def embed(
        self,
        noisy: Float[Tensor, " batch camera frame channel height width"],
        observation: Observation,
        context: Mapping[str, Tensor],
    ) -> Float[Tensor, " batch token dim"]:
        tokens = self.embed_linear(patchify(noisy, self.patch_size))
        now = context["now"]
        if now.shape[2] != tokens.shape[3]:
            raise UserError(
                f"The observation encoder's grid has {now.shape[2]} tokens a frame and the video decoder's "
                f"{tokens.shape[3]}; give both patches of the same size."
            )
        return (tokens + self.context_linear(now)[:, :, None]).flatten(1, 3)

    def unembed(self, tokens: Float[Tensor, " batch token dim"]) -> Tensor:
        """Tokens to frames (batch camera frame channel height width), extra features as more channels."""
        batch, (cameras, num_frames) = tokens.shape[0], self.event_shape()[:2]
        patches = self.decode_linear(tokens).reshape(batch, cameras, num_frames, -1, self.decode_linear.out_features)
        return unpatchify(patches, self.patch_size, *self.size)

    def future_frames(self, batch: Batch) -> Float[Tensor, " batch camera frame channel height width"]:
        """The batch's future frames in pixels.

        Raises:
            UserError: if the batch has none.
        """
        if batch.video is None:
            raise UserError("This query needs future frames, and the batch has none (Batch.video is None).")
        return batch.video

    def set_stats(self, stats: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> None:
        """Frames are what they are."""


class PixelDecoder(FrameDecoder):
    """Future frames as patches of pixels; predicts the clean frames.

    Args:
        dim: width of a token.
        spec: cameras, image size and number of future frames.
        patch_size: pixels along a patch's side.
        channels: 3 for RGB.
        copy_gate: predict, for each pixel, how much of it is copied from the last observed frame; what stands still
            stays sharp.
        copy_flow: predict also, for each patch, from where it is copied; what moves as a whole stays sharp too, and a
            camera that turns need not learn to paint. Needs `copy_gate`. Source: the dynamic neural advection of Finn
            et al. 2016, "Unsupervised Learning for Physical Interaction through Video Prediction", with one smooth
            flow.
        time_per_frame: each future frame carries its own diffusion time.
    """

    predicts = "clean"

    def __init__(
        self,
        dim: int,
        spec: DataSpec,
        patch_size: int = 16,
        channels: int = 3,
        copy_gate: bool = False,
        copy_flow: bool = False,
        time_per_frame: bool = False,
    ):
        gates = patch_size**2 if copy_gate else 0
        super().__init__(dim, spec, channels, spec.image_size, patch_size, gates, time_per_frame)
        if copy_flow and not copy_gate:
            raise UserError("copy_flow says from where copy_gate copies; set copy_gate to true as well.")
        self.copy_gate = copy_gate
        self.flow_linear = nn.Linear(dim, 2) if copy_flow else None
        if self.flow_linear is not None:
            nn.init.zeros_(self.flow_linear.weight)
            nn.init.zeros_(self.flow_linear.bias)

    def encode(self, batch: Batch) -> Float[Tensor, " batch camera frame channel height width"]:
        """The batch's future frames as they are."""
        return self.future_frames(batch)

    def to_data(
        self, clean: Float[Tensor, " batch camera frame channel height width"], observation: Observation
    ) -> Float[Tensor, " batch camera frame channel height width"]:
        """Pixels within [-1, 1]."""
        return clean.clamp(-1, 1)

    def decode(
        self, tokens: Float[Tensor, " batch token dim"], observation: Observation
    ) -> Float[Tensor, " batch camera frame channel height width"]:
        frames = self.unembed(tokens)
        if not self.copy_gate:
            return frames
        gate = frames[:, :, :, self.channels :].float().sigmoid()
        now = observation.images[:, :, -1:]
        copied = now if self.flow_linear is None else warp(now, self.flow(tokens))
        return gate * copied + (1 - gate) * frames[:, :, :, : self.channels]

    def flow(self, tokens: Float[Tensor, " batch token dim"]) -> Float[Tensor, " batch camera frame 2 height width"]:
        """Right and down, as shares of half the picture: where each pixel is copied from, relative to itself."""
        assert self.flow_linear is not None
        cameras, num_frames = self.event_shape()[:2]
        flow = self.flow_linear(tokens).float().reshape(-1, *self.grid, 2).movedim(-1, 1)
        flow = F.interpolate(FLOW_SCALE * flow, size=self.size, mode="bilinear", align_corners=False)
        return flow.reshape(-1, cameras, num_frames, 2, *self.size)


def warp(
    now: Float[Tensor, " batch camera 1 channel height width"],
    flow: Float[Tensor, " batch camera frame 2 height width"],
) -> Float[Tensor, " batch camera frame channel height width"]:
    """The picture with every pixel taken from elsewhere, see `PixelDecoder.flow`; beyond the edge is the edge."""
    batch, cameras, num_frames, _, height, width = flow.shape
    rows = torch.arange(height, device=flow.device, dtype=torch.float32).add(0.5).mul(2 / height).sub(1)
    columns = torch.arange(width, device=flow.device, dtype=torch.float32).add(0.5).mul(2 / width).sub(1)
    still = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    places = still + flow.flatten(0, 2).movedim(1, -1)
    pictures = now.expand(-1, -1, num_frames, -1, -1, -1).flatten(0, 2).float()
    moved = F.grid_sample(pictures, places, padding_mode="border", align_corners=False)
    return moved.unflatten(0, (batch, cameras, num_frames))
