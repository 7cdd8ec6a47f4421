"""The nets through which a metric looks at images: none of them is shared with any contestant."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

NETS = ("cnn", "pca", "random")
BLOCK = 64
WIDTH = 64
COMPONENTS = 32


class Ruler(nn.Module):
    """Three feature nets for integer images of one event.

    - `cnn`: the last hidden layer (64) of a small convolutional classifier of the training labels;
    - `pca`: the leading principal components (at most 32) of the training pixels;
    - `random`: pooled features (64) of the same convolutions with random weights, which saw no data.

    Pixels are scaled to [0, 1] first. Features do not depend on what a contestant learned.

    Reference:
        GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium (Heusel et al.,
        2017), with a classifier of the dataset's own classes in place of an ImageNet classifier.

    Arguments:
        shape: event shape `(C, H, W)`.
        levels: number of levels, or None for real-valued data (not scaled).
        classes: number of classes.
    """

    def __init__(self, shape: tuple[int, int, int], levels: int | None, classes: int) -> None:
        super().__init__()
        dim = math.prod(shape)
        self.register_buffer("shape", torch.tensor(shape))
        self.register_buffer("levels", torch.tensor(levels or 0))
        self.register_buffer("scale", torch.tensor(1.0 if levels is None else 1.0 / (levels - 1)))
        self.register_buffer("mean", torch.zeros(dim, dtype=torch.float64))
        self.register_buffer("components", torch.zeros(dim, min(COMPONENTS, dim), dtype=torch.float64))
        self.random = nn.Sequential(_convolutions(shape[0], 16, WIDTH // 4), nn.Flatten())
        self.cnn = nn.Sequential(
            _convolutions(shape[0], 32, WIDTH), nn.Flatten(), nn.Linear(4 * WIDTH, WIDTH), nn.Tanh()
        )
        self.head = nn.Linear(WIDTH, classes)

    def features(self, net: str) -> Callable[[Tensor], Tensor]:
        """One of the nets: integer images `[N, C, H, W]` to `[N, d]`, `cnn` and `random` float32, `pca` float64."""
        return {
            "cnn": lambda x: self.cnn(self._scaled(x)),
            "pca": lambda x: (self._scaled(x).flatten(1).double() - self.mean) @ self.components,
            "random": lambda x: self.random(self._scaled(x)),
        }[net]

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """Most probable class of integer images `[N, C, H, W]`, `[N]`."""
        return embed(x, lambda rows: self.head(self.cnn(self._scaled(rows)))).argmax(1)

    def _scaled(self, x: Tensor) -> Tensor:
        if list(x.shape[1:]) != self.shape.tolist():
            raise ValueError(f"found images {list(x.shape)}; expected [N, C, H, W] with {self.shape.tolist()}")
        return x.to(torch.float32) * self.scale


@torch.no_grad()
def embed(x: Tensor, net: Callable[[Tensor], Tensor], *, block: int = BLOCK) -> Tensor:
    """What a net gives for images `[N, ...]`, a block of them at a time: memory does not grow with N."""
    return torch.cat([net(rows) for rows in x.split(block)])


def fit(
    train_x: Tensor,
    train_label: Tensor,
    levels: int | None,
    *,
    generator: Generator,
    nets: Collection[str] = NETS,
    epochs: int = 40,
    steps: int = 3000,
    batch: int = 50,
    rate: float = 2e-3,
    decay: float = 1e-2,
    smoothing: float = 0.1,
) -> Ruler:
    """Make the nets of a dataset.

    The classifier reads the labels of the odd positions of the training split only, `[1::2]`; a
    representation that a contestant learns from labels takes the even ones, so that no ruler shares its
    labels with what it measures. It is trained with AdamW on cross-entropy with smoothed labels, the rate
    falling to zero along a half cosine, until the epochs or the steps are done, whichever comes first. Smoothing and
    the bounded hidden layer keep a few confident images from ruling a covariance or a cubic kernel.

    Arguments:
        train_x: integer images `[N, C, H, W]`.
        train_label: classes `[N]`, 0 or more.
        levels: number of levels, or None.
        generator: source of weights and batches.
        nets: which are wanted; without `cnn` the classifier is drawn and not trained, and moves no other net.
        epochs, steps, batch, rate, decay, smoothing: of the classifier's training.

    Returns:
        The nets, in evaluation mode and without gradients.
    """
    ruler = Ruler(tuple(train_x.shape[1:]), levels, int(train_label.max()) + 1)
    for parameter in ruler.parameters():
        std = math.sqrt(2 / parameter[0].numel()) if parameter.ndim > 1 else 0.0
        parameter.data.normal_(std=1.0, generator=generator).mul_(std)
    flat = ruler._scaled(train_x).flatten(1).double()
    ruler.mean.copy_(flat.mean(0))
    flat -= ruler.mean
    ruler.components.copy_(_principal(flat, ruler.components.shape[1]))
    del flat
    if "cnn" in nets:
        x, label = ruler._scaled(train_x[1::2]), train_label[1::2]
        total = min(steps, epochs * math.ceil(len(x) / batch))
        learned = [*ruler.cnn.parameters(), *ruler.head.parameters()]
        optimiser = torch.optim.AdamW(learned, lr=rate, weight_decay=decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total)
        for rows in islice(_batches(len(x), batch, generator), total):
            loss = functional.cross_entropy(ruler.head(ruler.cnn(x[rows])), label[rows], label_smoothing=smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return ruler.eval().requires_grad_(False)


def _batches(n: int, batch: int, generator: Generator) -> Iterator[Tensor]:
    """Row numbers of one batch after another, each epoch in a new order, without end."""
    while True:
        yield from torch.randperm(n, generator=generator).split(batch)


def restore(tensors: Mapping[str, Tensor]) -> Ruler:
    """The nets from their `state_dict`, which holds all that they depend on."""
    ruler = Ruler(tuple(tensors["shape"].tolist()), None, len(tensors["head.bias"]))
    ruler.load_state_dict(tensors)
    return ruler.eval().requires_grad_(False)


def _convolutions(channels: int, first: int, second: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, first, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(first, second, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(2),
    )


def _principal(centred: Tensor, count: int) -> Tensor:
    """Leading eigenvectors `[D, count]` of the covariance, each with its largest entry positive."""
    vectors = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, :count]
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    return vectors * largest.sign()
