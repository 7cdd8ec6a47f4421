"""prepare: dataset.yaml -> data.npz, the integers, the splits and the noise that everyone is measured on."""

import sys

from numpy import ndarray

from gm import io
from gm.stages.fetch import Log, NoData, images
from gm.stages.job import Outcome, Output

RAW = ("source", "path", "sources", "files", "format", "sha256")


def run(data: Output, *, spec: dict, log: Log = lambda step, total: None) -> Outcome:
    """Build a dataset from its specification (its YAML file as `gm.catalogue` reads it).

    Raises:
        SystemExit: the images cannot be had; the message stands in the job's log, without a traceback.
    """
    try:
        arrays = build(spec, log=log)
    except NoData as error:
        print(f"gm prepare: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    io.write_arrays(data, arrays)
    return Outcome(facts={name: len(array) for name, array in arrays.items() if name.startswith("x_")})


def build(spec: dict, *, log: Log = lambda step, total: None) -> dict[str, ndarray]:
    """All arrays of a dataset, `gm.data.build.dataset` of its images and of those of the datasets it names."""
    from gm.data.build import dataset

    x, label = _images(spec, log)
    foreign = {}
    for name, options in spec["outliers"].items():
        if "dataset" in options:
            other = options["dataset"]
            foreign[name] = _images(other, log)[0][-other.get("held_out", 0) :]
    return dataset(x, label, foreign, **{key: value for key, value in spec.items() if key not in RAW})


def _images(spec: dict, log: Log) -> tuple[ndarray, ndarray]:
    return images(**{key: spec[key] for key in RAW if key in spec}, log=log)
