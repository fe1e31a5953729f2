"""Batches made on the device that trains: all faces lie there, and masks are drawn there.

Host and device draw different random numbers, so the same seed gives other batches here than `TrainingBatches` gives, from
the same distributions; what is not random is the same. Devices of different kinds may differ by rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from occface import seeding
from occface.dataset.pairs import Degradation
from occface.dataset.reader import DatasetFile, FacePairs
from occface.dataset.schema import HR_SIZE, LR_SIZE
from occface.errors import UsageError
from occface.faces.mirror import MIRRORED, mirror_classes
from occface.methods.base import Batch
from occface.occlusion.on_device import MaskDrawer, downsample, occlude, own_rows, supported
from occface.training.batches import CENTRE, COLOUR_SPREADS, WARP_SPREADS, Augmentation, epoch_order, own_part

__all__ = ["ResidentBatches", "recoloured", "warp_matrices", "warped_pictures", "warped_points"]

_BLOCK = 512  # faces copied to the device at once


class ResidentBatches:
    """Give batch after batch of a split, as `TrainingBatches` does, without work for the processor or waiting for the device.

    Parameters
    ----------
    data, split, batch_size, seed, augmentation, share, parsing
        See `TrainingBatches`. Every epoch's order is the same as there.
    device : torch.device
        Where the faces lie and the batches come to be.

    Raises
    ------
    UsageError
        If the processes cannot share a batch equally, or a mask type cannot be drawn on a device (see `supports`).
    """

    def __init__(
        self,
        data: DatasetFile,
        split: str,
        batch_size: int,
        seed: int,
        augmentation: Augmentation,
        device: torch.device | str,
        share: tuple[int, int] = (0, 1),
        parsing: bool = False,
    ) -> None:
        pairs = FacePairs(data, split, parsing=parsing)
        if not self.supports(data, split, augmentation):
            unknown = ", ".join(kind for kind in pairs.masks if not supported(kind))
            raise UsageError(
                f"masks of {unknown} cannot be drawn anew on a device: make batches on the host, or keep stored masks"
            )
        self.batch_size = batch_size
        self.seed = seed
        self.augmentation = augmentation
        self.device = torch.device(device)
        self._share = share
        self._part = own_part(batch_size, share)
        self._kinds = len(pairs.masks)
        self._pairs = len(pairs)
        self._making = Degradation.of(data.configuration)
        # Only what is used: a stored mask is not while masks are fresh, nor is an LR face while it is made anew.
        shared = ["hr", "landmarks"] if augmentation.changes_hr else ["hr", "landmarks", "lr_clean"]
        shared += ["parsing"] if parsing else []
        own = ["landmarks_lr"]
        if not augmentation.fresh_masks:
            own += ["mask"] if augmentation.changes_hr else ["mask", "lr"]
        self._faces = {name: self._moved(data, split, (name,))[:, 0] for name in shared}
        # One record for each pair, in the order of `FacePairs`.
        self._own = {
            name: self._moved(data, split, tuple(f"occluded/{kind}/{name}" for kind in pairs.masks)).flatten(0, 1)
            for name in own
        }
        self._drawer = MaskDrawer(pairs.masks, HR_SIZE, self.device) if augmentation.fresh_masks else None
        self._mirrored = torch.from_numpy(MIRRORED).to(self.device)
        self._mirrored_classes = torch.from_numpy(mirror_classes(data.classes)).to(self.device)
        self._generator = torch.Generator(self.device)
        self._orders: dict[int, Tensor] = {}

    @staticmethod
    def needed_bytes(data: DatasetFile, split: str, parsing: bool = False) -> int:
        """Return how much of the device's memory the faces take at most: with all stored masks and LR faces."""
        return sum(field.nbytes for field in _fields(data, split, parsing))

    @staticmethod
    def supports(data: DatasetFile, split: str, augmentation: Augmentation) -> bool:
        """Return whether the batches can be made on a device: fresh masks of all mask types can be drawn there, if asked for.

        Stored masks may be of any kind; so may fills and LR kernels.
        """
        return not augmentation.fresh_masks or all(supported(kind) for kind in data.mask_types(split))

    def _moved(self, data: DatasetFile, split: str, names: tuple[str, ...]) -> Tensor:
        """Return fields of the same form, (faces, fields, ...), on the device, without a copy of all on the host."""
        faces = data.count(split)
        form = torch.from_numpy(data.stack(split, names[0], 0, 1))
        moved = torch.empty((faces, len(names), *form.shape[1:]), dtype=form.dtype, device=self.device)
        for place, name in enumerate(names):
            for start in range(0, faces, _BLOCK):
                moved[start : start + _BLOCK, place] = torch.from_numpy(data.stack(split, name, start, start + _BLOCK)).to(
                    self.device
                )
        return moved

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            order = torch.from_numpy(epoch_order(self.seed, epoch, self._pairs))
            # A copy out of ordinary memory would make the processor wait for the device.
            self._orders[epoch] = (order.pin_memory() if self.device.type == "cuda" else order).to(
                self.device, non_blocking=True
            )
        return self._orders[epoch]

    def _numbers(self, step: int) -> Tensor:
        """Return the numbers of this process's pairs, which may belong to several epochs."""
        first = step * self.batch_size
        start, stop = first + self._part.start, first + self._part.stop
        epochs = range(start // self._pairs, (stop - 1) // self._pairs + 1)
        parts = [self._order(epoch)[max(0, start - epoch * self._pairs) : stop - epoch * self._pairs] for epoch in epochs]
        self._orders = {epoch: self._orders[epoch] for epoch in epochs}
        return torch.cat(parts)

    def _normal(self, rows: int, columns: int) -> Tensor:
        shape = (rows * self._share[1], columns)
        return own_rows(torch.randn(shape, generator=self._generator, device=self.device), self._share)

    def __call__(self, step: int) -> Batch:
        """Return this process's part of the batch of a step, counted from 0: as of `TrainingBatches`, images channels last."""
        vary = self.augmentation
        self._generator.manual_seed(seeding.integer(self.seed, "resident", step))
        numbers = self._numbers(step)
        faces = numbers // self._kinds
        batch = {name: field.index_select(0, faces) for name, field in self._faces.items()}
        batch |= {name: field.index_select(0, numbers) for name, field in self._own.items()}
        for name in batch.keys() & {"hr", "lr", "lr_clean"}:
            batch[name] = batch[name].permute(0, 3, 1, 2)
        if "mask" in batch:
            batch["mask"] = batch["mask"][:, None]
        if vary.mirror:
            self._mirror(batch, len(numbers))
        if vary.warp:
            matrices = warp_matrices(vary.warp, self._normal(len(numbers), len(WARP_SPREADS)))
            batch["hr"] = warped_pictures(batch["hr"], matrices, "bicubic")
            if "mask" in batch:
                batch["mask"] = warped_pictures(batch["mask"], matrices, "nearest")
            if "parsing" in batch:
                batch["parsing"] = warped_pictures(batch["parsing"][:, None], matrices, "nearest")[:, 0]
            for name in ("landmarks", "landmarks_lr"):
                batch[name] = warped_points(batch[name], matrices)
        if vary.colour:
            batch["hr"] = recoloured(batch["hr"], vary.colour, self._normal(len(numbers), len(COLOUR_SPREADS)))
        if vary.changes_hr:
            batch["lr_clean"] = downsample(batch["hr"], LR_SIZE, self._making.lr_kernel)
        if self._drawer is not None:
            batch["mask"] = self._drawer(numbers % self._kinds, self._generator, self._share)
        if "lr" not in batch:
            occluded = occlude(batch["hr"], batch["mask"], self._making.fill, self._generator, self._share)
            batch["lr"] = downsample(occluded, LR_SIZE, self._making.lr_kernel)
        for name in ("hr", "lr", "lr_clean"):
            batch[name] = (batch[name].float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        batch["mask"] = batch["mask"].float()
        return batch

    def _mirror(self, batch: Batch, rows: int) -> None:
        """Mirror every second face, by chance, in place."""
        whole = torch.rand(rows * self._share[1], generator=self._generator, device=self.device)
        chosen = own_rows(whole, self._share) < 0.5
        for name, value in batch.items():
            if name in ("landmarks", "landmarks_lr"):
                turned = value[:, self._mirrored]
                turned[..., 0] = HR_SIZE - 1 - turned[..., 0]
                batch[name] = torch.where(chosen[:, None, None], turned, value)
            elif name == "parsing":
                turned = self._mirrored_classes[value.flip(2).long()]
                batch[name] = torch.where(chosen[:, None, None], turned, value)
            else:
                batch[name] = torch.where(chosen[:, None, None, None], value.flip(3), value)


def _fields(data: DatasetFile, split: str, parsing: bool) -> Iterator[np.ndarray]:
    for name in ("hr", "lr_clean", "landmarks", *(("parsing",) if parsing else ())):
        yield data.field(split, name)
    for kind in data.mask_types(split):
        for name in ("mask", "lr", "landmarks_lr"):
            yield data.field(split, f"occluded/{kind}/{name}")


def warp_matrices(strength: float, normal: Tensor) -> Tensor:
    """Return warps of the crop, (B, 2, 3), as `occface.training.batches.warp_matrix` does, from (B, 4) normal numbers."""
    angle, log_scale, right, down = (
        strength * spread * column for spread, column in zip(WARP_SPREADS, normal.unbind(1), strict=True)
    )
    angle, scale = torch.deg2rad(angle), log_scale.exp()
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    shift_x = CENTRE + right - CENTRE * (cosine - sine)
    shift_y = CENTRE + down - CENTRE * (sine + cosine)
    return torch.stack([cosine, -sine, shift_x, sine, cosine, shift_y], 1).unflatten(1, (2, 3))


def warped_pictures(images: Tensor, matrices: Tensor, mode: str) -> Tensor:
    """Return pictures of the crop's size, uint8 (B, C, 128, 128), warped by (B, 2, 3) matrices.

    The convention is that of OpenCV's ``warpAffine``: pixel centres at integers, beyond the border the mirror image about the
    outermost pixels' centres. Interpolation is ``"bicubic"`` or ``"nearest"``.
    """
    (a, b, right), (c, d, down) = (row.unbind(1) for row in matrices.unbind(1))
    place = torch.arange(HR_SIZE, device=images.device)
    x, y = place - right[:, None], place - down[:, None]
    # Written out: a matrix product may be computed in fewer bits than a place needs.
    determinant = (a * d - b * c)[:, None, None]
    from_x = (d[:, None, None] * x[:, None, :] - b[:, None, None] * y[:, :, None]) / determinant
    from_y = (a[:, None, None] * y[:, :, None] - c[:, None, None] * x[:, None, :]) / determinant
    grid = torch.stack([from_x, from_y], -1) / CENTRE - 1
    taken = F.grid_sample(images.float(), grid, mode=mode, padding_mode="reflection", align_corners=True)
    return taken.round().clamp(0, 255).to(torch.uint8)


def warped_points(points: Tensor, matrices: Tensor) -> Tensor:
    """Return points, (B, N, 2), warped by (B, 2, 3) matrices."""
    x, y = points[..., 0], points[..., 1]
    (a, b, right), (c, d, down) = (row[..., None].unbind(1) for row in matrices.unbind(1))
    return torch.stack([a * x + b * y + right, c * x + d * y + down], -1)


def recoloured(images: Tensor, strength: float, normal: Tensor) -> Tensor:
    """Return pictures, uint8 (B, 3, H, W), recoloured by (B, 5) normal numbers, as `occface.training.batches.recoloured` does.

    Examples
    --------
    >>> recoloured(torch.full((1, 3, 1, 1), 100, dtype=torch.uint8), 1, torch.tensor([[0.0, 0, 1, 0, -1]])).flatten()
    tensor([92, 92, 98], dtype=torch.uint8)
    """
    *gains, gain, added = (strength * spread * column for spread, column in zip(COLOUR_SPREADS, normal.unbind(1), strict=True))
    factors = (torch.stack(gains, 1) + gain[:, None]).exp()[:, :, None, None]
    return (images * factors + added[:, None, None, None]).round().clamp(0, 255).to(torch.uint8)
