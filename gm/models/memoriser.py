"""Control: the training images. They can win on fidelity, which is why memorisation has its own alarm."""

import torch
from torch import Tensor

from gm.model import Event, History, Log, Model, Split


class Memoriser(Model):
    """Replay training images with their labels, all equally often; it has no density."""

    family = "control"
    labels = True
    conditional = True

    def __init__(self, event: Event) -> None:
        super().__init__(event)
        self.register_buffer("images", torch.empty(0, dtype=torch.uint8))
        self.register_buffer("classes", torch.empty(0, dtype=torch.int64))

    def fit(self, train: Split, valid: Split, *, generator: torch.Generator, log: Log) -> History:
        """Store the training images `[N, C, H, W]` and their labels."""
        self.images, self.classes = train.x.clone(), train.label.clone()
        return History(facts={"images": len(train.x)})

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Images `[n, C, H, W]` of `sample_labelled`, without their labels."""
        return self.sample_labelled(n, generator=generator)[0]

    def sample_labelled(self, n: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`n` training images, `[n, C, H, W]`, and their own labels `[n]`: whole passes over them, each in an order of
        its own, and at last a part of one."""
        passes = -(-n // len(self.images))
        order = torch.cat([torch.randperm(len(self.images), generator=generator) for _ in range(passes)])
        order = order[:n].to(self.images.device)
        return self.images[order].long(), self.classes[order]
