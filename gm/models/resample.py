"""Control: real data that nobody else sees, in a random order. No model can do better than to look like it."""

import torch
from torch import Tensor

from gm.model import Event, History, Log, Model, Split


class Resample(Model):
    """Replay the `fresh` split, each image at most once, with its label; it has no density."""

    family = "control"
    labels = True
    conditional = True
    splits = ("fresh", "valid")

    def __init__(self, event: Event) -> None:
        super().__init__(event)
        self.register_buffer("images", torch.empty(0, dtype=torch.uint8))
        self.register_buffer("classes", torch.empty(0, dtype=torch.int64))

    def fit(self, train: Split, valid: Split, *, generator: torch.Generator, log: Log) -> History:
        """Store the images `[N, C, H, W]` of the first split, and their labels."""
        self.images, self.classes = train.x.clone(), train.label.clone()
        return History(facts={"images": len(train.x)})

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Images `[n, C, H, W]` of `sample_labelled`, without their labels."""
        return self.sample_labelled(n, generator=generator)[0]

    def sample_labelled(self, n: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The first `n` images of a random permutation, `[n, C, H, W]`, and their own labels `[n]`.

        Raises:
            ValueError: more images are asked for than are stored.
        """
        if n > len(self.images):
            raise ValueError(f"'n' is {n}; expected at most {len(self.images)}, the fresh images")
        order = torch.randperm(len(self.images), generator=generator)[:n].to(self.images.device)
        return self.images[order].long(), self.classes[order]
