"""prepare: dataset.yaml -> data.npz, the integers, the splits and the noise that everyone is measured on."""

from gm import io
from gm.stages.job import Outcome, Output


def run(data: Output, *, spec: dict) -> Outcome:
    """Build a dataset from its specification (the content of its YAML file)."""
    from gm.data.build import build

    arrays = build(spec)
    io.write_arrays(data, arrays)
    return Outcome(facts={name: len(array) for name, array in arrays.items() if name.startswith("x_")})
