"""What every metric group reads and writes: a run's arrays, and rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from numpy import ndarray

Row = dict[str, str | float | int]
Arrays = Mapping[str, ndarray]


@dataclass(frozen=True)
class Run:
    """What a run left, as dictionaries of arrays; one that an external contestant lacks is empty.

    Attributes:
        data: the dataset's arrays, `x_<split>`, `label_<split>`, `x_outlier_<set>`, `levels`, `aligned` (none where it
            is absent).
        ruler: the real splits' features, `<net>_<split>`, each `[N, d]`.
        samples: `x`, `[n, C, H, W]`, and `label`, `[n]`, from a model that draws classes too.
        scores: `lower_<part>`, `upper_<part>`, `score_<name>_<part>`, `kinds`, ...
        features: the samples' features, `<net>`, each `[n, d]`.
        nets: which nets to report.
        items: what a group leaves per item for the figures, by name; written beside the rows.
    """

    data: Arrays
    ruler: Arrays
    samples: Arrays
    scores: Arrays
    features: Arrays
    nets: list[str]
    items: dict[str, ndarray] = field(default_factory=dict)

    def embedded(self) -> list[tuple[str, ndarray, ndarray]]:
        """Of each net its name, the samples' features and the test split's."""
        return [(net, self.features[net], self.ruler[f"{net}_test"]) for net in self.nets] if self.features else []


def row(metric: str, value: tuple[float, float], n: int, kind: str = "estimate") -> Row:
    """A row of the table from a value and its standard error."""
    return {"metric": metric, "value": value[0], "se": value[1], "n": n, "kind": kind}
