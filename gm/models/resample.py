"""Control: real data that nobody else sees, in a random order. No model can do better than to look like it."""

import torch
from torch import Tensor

from gm.model import Event, History, Log, Model, Split


class Resample(Model):
    """Replay the `fresh` split, each image at most once; it has no density."""

    family = "control"
    splits = ("fresh", "valid")

    def __init__(self, event: Event) -> None:
        super().__init__(event)
        self.register_buffer("images", torch.empty(0, dtype=torch.uint8))

    def fit(self, train: Split, valid: Split, *, generator: torch.Generator, log: Log) -> History:
        """Store the images `[N, C, H, W]` of the first split."""
        self.images = train.x.clone()
        return History(facts={"images": len(train.x)})

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """The first `n` images of a random permutation, `[n, C, H, W]`.

        Raises:
            ValueError: more images are asked for than are stored.
        """
        if n > len(self.images):
            raise ValueError(f"'n' is {n}; expected at most {len(self.images)}, the fresh images")
        order = torch.randperm(len(self.images), generator=generator)[:n]
        return self.images[order.to(self.images.device)].long()
