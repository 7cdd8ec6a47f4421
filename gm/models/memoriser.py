"""Control: the training images. They can win on fidelity, which is why memorisation has its own alarm."""

import torch
from torch import Tensor

from gm.model import Event, History, Log, Model, Split


class Memoriser(Model):
    """Replay training images, each at most once; it has no density."""

    family = "control"

    def __init__(self, event: Event) -> None:
        super().__init__(event)
        self.register_buffer("images", torch.empty(0, dtype=torch.uint8))

    def fit(self, train: Split, valid: Split, *, generator: torch.Generator, log: Log) -> History:
        """Store the training images `[N, C, H, W]`."""
        self.images = train.x.clone()
        return History(facts={"images": len(train.x)})

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """`n` training images drawn without replacement, `[n, C, H, W]`.

        Raises:
            ValueError: more images are asked for than were stored.
        """
        if n > len(self.images):
            raise ValueError(f"'n' is {n}; expected at most {len(self.images)}, the training images")
        order = torch.randperm(len(self.images), generator=generator)[:n]
        return self.images[order.to(self.images.device)].long()
