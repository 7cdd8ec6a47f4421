"""`gm check` on models that each break one promise: the check of that name, and no other, must fail."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from gm.__main__ import main as gm
from gm.commands.check import main
from gm.config import ConfigError
from gm.model import Bounds, Event, History, Model
from gm.models.ppca import PPCA


class Table(Model):
    """A table of the masses of all states, which keeps every promise."""

    family = "control"
    serves = ("binary", "levels")

    def __init__(self, event: Event, *, smoothing: float = 1.0):
        super().__init__(event)
        self.smoothing = smoothing
        self.place = [event.levels**j for j in range(event.dim)]
        self.register_buffer("log_mass", torch.empty(0, dtype=torch.float64))

    def fit(self, train, valid, *, generator, log):
        count = torch.bincount(self.index(train.x), minlength=self.event.levels**self.event.dim)
        self.log_mass = ((count + self.smoothing) / (count + self.smoothing).sum()).double().log()
        return History()

    def index(self, x):
        return (x.long().flatten(1) * torch.tensor(self.place)).sum(1)

    def sample(self, n, *, generator):
        index = torch.multinomial(self.log_mass.exp(), n, replacement=True, generator=generator)
        x = torch.stack([index // place % self.event.levels for place in self.place], 1)
        return x.reshape(n, *self.event.shape)

    def bounds(self, y, *, generator):
        return Bounds.exact(self.log_mass[self.index(y.floor())])


class ComputedFamily(Table):
    family = "con" + "trol"


class UnknownSplit(Table):
    splits = ("train", "test")


class Positional(Table):
    def __init__(self, event: Event, smoothing: float = 1.0):
        super().__init__(event, smoothing=smoothing)


class NoAnnotation(Table):
    def __init__(self, event: Event, *, smoothing=1.0):
        super().__init__(event, smoothing=smoothing)


class ReadsLabels(Table):
    def fit(self, train, valid, *, generator, log):
        one_hot(train.label)
        return super().fit(train, valid, generator=generator, log=log)


class WritesData(Table):
    def fit(self, train, valid, *, generator, log):
        history = super().fit(train, valid, generator=generator, log=log)
        train.x.zero_()
        return history


class NanWeights(Table):
    def fit(self, train, valid, *, generator, log):
        history = super().fit(train, valid, generator=generator, log=log)
        self.log_mass[0] = math.nan
        return history


class GlobalFit(Table):
    def fit(self, train, valid, *, generator, log):
        self.smoothing = np.random.rand()
        return super().fit(train, valid, generator=generator, log=log)


class WrongShape(Table):
    def sample(self, n, *, generator):
        return super().sample(n, generator=generator).flatten(1)


class OutOfRange(Table):
    def sample(self, n, *, generator):
        return super().sample(n, generator=generator) + 1


class Floats(Table):
    def sample(self, n, *, generator):
        return super().sample(n, generator=generator).float()


class GlobalSample(Table):
    def sample(self, n, *, generator):
        return super().sample(n, generator=None)


class DeafSample(Table):
    def sample(self, n, *, generator):
        return super().sample(n, generator=torch.Generator().manual_seed(0))


class Shifted(Table):
    """Bounds moved by what a subclass says."""

    def bounds(self, y, *, generator):
        log_mass = super().bounds(y, generator=generator).lower
        return Bounds.exact(log_mass + self.shift(log_mass))


class NanBounds(Shifted):
    def shift(self, log_mass):
        return torch.full_like(log_mass, math.nan)


class GlobalBounds(Shifted):
    def shift(self, log_mass):
        return 1e-6 * torch.randn(log_mass.shape)


class DependsOnBatch(Shifted):
    def shift(self, log_mass):
        return 3e-4 * (log_mass - log_mass.mean())


class TooMuch(Shifted):
    def shift(self, log_mass):
        return math.log(1.3)


class TooLittle(Shifted):
    def shift(self, log_mass):
        return -math.log(1.3)


class Crossed(Table):
    def bounds(self, y, *, generator):
        log_mass = super().bounds(y, generator=generator).lower
        return Bounds(log_mass + 0.1, log_mass, ("heuristic", "heuristic"))


class Uncertified(Table):
    def bounds(self, y, *, generator):
        log_mass = super().bounds(y, generator=generator).lower
        return Bounds(log_mass - 0.1, log_mass, ("certified", "heuristic"))


class NanScores(Table):
    def outlier_scores(self, y, bounds, *, generator):
        return {"nll": bounds.lower * math.nan}


class Forgetful(Shifted):
    scale = 1.0

    def fit(self, train, valid, *, generator, log):
        self.scale = 0.0
        return super().fit(train, valid, generator=generator, log=log)

    def shift(self, log_mass):
        return self.scale * log_mass


class OtherSampler(Table):
    def sample(self, n, *, generator):
        return super().sample(n, generator=generator).flip(-1)


class UnnormalisedGaussian(PPCA):
    def bounds(self, y, *, generator):
        return Bounds.exact(super().bounds(y, generator=generator).lower - math.log(1.3))


class OtherGaussian(PPCA):
    def sample(self, n, *, generator):
        return super().sample(n, generator=generator).flip(-1)


BROKEN = {
    ComputedFamily: "attributes",
    UnknownSplit: "attributes",
    Positional: "signatures",
    NoAnnotation: "signatures",
    ReadsLabels: "fit",
    WritesData: "fit",
    NanWeights: "fit",
    GlobalFit: "same fit",
    WrongShape: "sample",
    OutOfRange: "sample",
    Floats: "sample",
    GlobalSample: "same sample",
    DeafSample: "same sample",
    NanBounds: "bounds",
    GlobalBounds: "bounds",
    Crossed: "bounds",
    Uncertified: "bounds",
    DependsOnBatch: "same in any batch",
    NanScores: "outlier scores",
    Forgetful: "save and load",
    TooMuch: "mass",
    TooLittle: "mass",
    OtherSampler: "sampler",
    UnnormalisedGaussian: "mass",
    OtherGaussian: "sampler",
}


def reference(cls):
    return f"{Path(__file__)}:{cls.__name__}"


def failed(text):
    """Names of the failed checks in the printed report."""
    lines = [line[2:] for line in text.splitlines()[1:] if line.startswith("  ")]
    return [line[9:27].strip() for line in lines if line.startswith("FAILED")]


@pytest.mark.parametrize("levels", ["2", "3"])
@pytest.mark.parametrize("seed", ["0", "1"])
def test_sound_model_passes(levels, seed, capsys):
    """False-alarm rate 1e-4 a run; the seeds are fixed."""
    assert main([reference(Table), "--levels", levels, "--seed", seed]) == 0
    out = capsys.readouterr().out
    assert not failed(out) and "skipped" not in out and out.endswith("the contract holds\n")


@pytest.mark.parametrize(("cls", "check"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", value))
def test_broken_model_is_caught(cls, check, capsys):
    """Power, not level: each of these is far off."""
    assert main([reference(cls)]) == 1
    out = capsys.readouterr().out
    assert failed(out) == [check]
    assert out.endswith("1 of 12 checks failed\n")


def test_large_event_says_what_it_skips(capsys):
    assert main(["gm.models.memoriser.Memoriser"]) == 0
    assert "the class has no density" in capsys.readouterr().out
    assert main(["gm.models.copula.Copula", "--event", "1x4x4", "--levels", "17"]) == 0
    assert capsys.readouterr().out.count("17^16 states are too many to sum over") == 2


def test_yaml_is_read_like_the_planner_reads_it(tmp_path, capsys):
    file = tmp_path / "table.yaml"
    file.write_text(f"class: {reference(Table)}\nmodel: {{smoothing: 0.5}}\n")
    assert main([str(file), "--event", "1x1x2"]) == 0
    assert f"{file} on 1x1x2 images of 3 levels" in capsys.readouterr().out
    file.write_text(f"class: {reference(Table)}\nmodel: {{smothing: 0.5}}\n")
    with pytest.raises(ConfigError, match="did you mean 'smoothing'"):
        main([str(file)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gm.models.mixture.Mixtura"], "it defines: Mixture"),
        (["gm.models.nothing.Nothing"], "no module"),
        (["Mixture"], "gm.models.vae.VAE"),
        (["nowhere.py:Model"], "no file 'nowhere.py'"),
        (["nowhere.yaml"], "no such file"),
        (["gm.models.mixture.Mixture", "--event", "8x8"], "channels x height x width"),
        (["gm.models.mixture.Mixture", "--levels", "1"], "2 and more"),
        (["gm.models.mixture.Mixture", "--levels", "0"], "legal:    binary, levels"),
    ],
)
def test_usage(arguments, message, capsys):
    assert gm(["check", *arguments]) == 2
    assert message in capsys.readouterr().err
