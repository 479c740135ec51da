"""Pictures and films of what a model imagines, beside the truth where it is known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from unified.data.heldout import HeldOutWindows
from unified.judging.scores import compared, imagine, partners, psnr
from unified.model.batch import Batch, images_to_uint8
from unified.model.model import UnifiedModel
from unified.report.video import Film, Frame, enlarge, error_map, side_by_side, stack

Pictures = tuple[Any, Any, Any]
"""(before, imagined, happened), uint8 (camera, height, width, 3) each."""

_UNKNOWN = np.uint8(128)
_HEADINGS = {
    "copy_last": "now",
    "truth": "truth",
    "true_actions": "imagined",
    "shuffled_actions": "other actions",
    "no_actions": "no actions",
    "error": "error x3",
}


@torch.no_grad()
def strip(model: UnifiedModel, windows: HeldOutWindows, count: int = 6, size: int = 128, seed: int = 0) -> Frame:
    """A table of pictures: held-out windows as rows; now, truth and the arms that are compared as columns."""
    chosen = windows.pick(np.unique(np.linspace(0, len(windows) - 1, min(count, len(windows))).round().astype(int)))
    batch, partner = chosen.fetch(), partners(chosen, seed)
    lent = torch.from_numpy(chosen.commands_from(np.where(partner >= 0, partner, chosen.present)))
    films = {"truth": batch.images[:, chosen.known :], **imagine(model, batch, lent, chosen.known, seed=seed)}
    camera = first_camera(batch)
    columns = {name: to_film(film[:, compared(chosen), camera]) for name, film in films.items() if name in _HEADINGS}
    if "true_actions" in columns:
        columns["error"] = error_map(columns["truth"], columns["true_actions"])
    shown = {name: heading for name, heading in _HEADINGS.items() if name in columns}
    tall = [np.concatenate(enlarge(columns[name], size))[None] for name in shown]
    return side_by_side(tall, list(shown.values()))[0]


def first_camera(batch: Batch) -> int:
    """The first camera slot that the first sample fills."""
    is_pad = batch.camera_is_pad
    return 0 if is_pad is None else int((~is_pad[0]).nonzero()[0])


def to_film(images: Tensor) -> Film:
    """Images in [-1, 1] (frame, 3, height, width) to pixels."""
    return images_to_uint8(images).movedim(1, -1).contiguous().cpu().numpy()


def plan_film(pictures: Sequence[Pictures], size: int = 192) -> tuple[Film, dict[str, float]]:
    """A film of plans beside what then happened, and how near they came.

    Args:
        pictures: of one episode, from `unified.rollout.policies.PlanPolicy`.
        size: about the height of a picture.

    Returns:
        The film (imagined | happened | difference), and {"psnr", "copy_psnr"} in dB.
    """
    before, imagined, happened = (np.stack([row[part][0] for row in pictures]) for part in range(3))
    parts = [enlarge(imagined, size), enlarge(happened, size), enlarge(error_map(happened, imagined), size)]
    film = side_by_side(parts, ["imagined plan", "what happened", "difference x3"])
    return film, {"psnr": film_psnr(imagined, happened), "copy_psnr": film_psnr(before, happened)}


def film_psnr(film: Film, truth: Film) -> float:
    """PSNR in dB of a film of pixels against another, errors pooled over all frames."""
    squared = ((film.astype(np.float64) - truth) / 255) ** 2
    return float(psnr(np.array([squared.sum()]), np.array([float(squared.size)]))[0])


@dataclass(frozen=True)
class DreamPictures:
    """What a dream showed from its present on, and what really happened.

    Attributes:
        imagined, truth: one picture a moment and camera; the truth may end earlier, or at once.
        cameras: their names.
        names: what to call the truth and the dream.
    """

    imagined: UInt8[np.ndarray, " moment camera _ _ 3"]
    truth: UInt8[np.ndarray, " known camera _ _ 3"]
    cameras: tuple[str, ...]
    names: tuple[str, str] = ("truth", "dream")

    def film(self, size: int = 256, part: int = 32) -> Iterator[Film]:
        """Truth, dream and error side by side, a row a camera, in parts: memory stays flat in the length."""
        for start in range(0, len(self.imagined), part):
            rows = [self._row(slot, slice(start, start + part), size) for slot in range(len(self.cameras))]
            yield stack(rows)

    def strip(self, env_steps: int, size: int = 96, columns: int = 9) -> Frame:
        """Some moments, evenly spread, the dream under the truth; `env_steps` lie between two moments."""
        last = len(self.imagined) - 1
        moments = np.unique(np.linspace(0, last, min(columns, last + 1)).round().astype(int))
        rows: list[Film] = []
        for slot, camera in enumerate(self.cameras):
            for name, films in self._known(slot, slice(None)).items():
                heading = name if len(self.cameras) == 1 else f"{camera}: {name}"
                labels = [heading, *(f"+{moment * env_steps}" for moment in moments[1:].tolist())]
                rows.append(side_by_side([enlarge(films[[moment]], size) for moment in moments], labels))
        return stack(rows)[0]

    def psnr(self) -> dict[str, Any]:
        """In dB, of the dream and of the start shown again: over all moments whose truth is known, and of each."""
        known = len(self.truth)
        copied = self.truth[:1].repeat(known, axis=0)
        made: dict[str, Any] = {}
        for name, films in {"psnr": self.imagined[:known], "copy_psnr": copied}.items():
            made[name] = film_psnr(np.concatenate(films[1:]), np.concatenate(self.truth[1:])) if known > 1 else None
            made[f"{name}_per_frame"] = [film_psnr(films[at], self.truth[at]) for at in range(1, known)]
        return made

    def _row(self, slot: int, part: slice, size: int) -> Film:
        films = self._known(slot, part)
        if len(films) > 1:
            truth, dream = films.values()
            is_known = np.arange(len(self.imagined))[part, None, None, None] < len(self.truth)
            films["error x3"] = np.where(is_known, error_map(truth, dream), _UNKNOWN)
        several = len(self.cameras) > 1
        labels = [f"{self.cameras[slot]}: {name}" if several else name for name in films]
        return side_by_side([enlarge(film, size) for film in films.values()], labels)

    def _known(self, slot: int, part: slice) -> dict[str, Film]:
        """Truth, grey where it is not known, and dream; the dream alone if nothing of the truth is known."""
        dream = self.imagined[part, slot]
        if len(self.truth) == 1:
            return {self.names[1]: dream}
        truth = np.full_like(dream, _UNKNOWN)
        known = self.truth[part, slot]
        truth[: len(known)] = known
        return {self.names[0]: truth, self.names[1]: dream}
