"""What a paper says of a benchmark of images: method, datasets, and a chapter for each dataset."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from gm.figures.paper import Figure, Section, Table, interval, number, plain, share
from gm.stages.report import chapter
from gm.stages.results import Row, Tree
from gm.table import summary, views

TITLE = "deep generative models measured on the same data"
TABLES = ("summary", "paired", "checks", "status")
CHECKED = (
    "Controls are contestants: resample is real data that nobody else saw and cannot honestly be beaten, memoriser "
    "replays training images and must be caught. Where a control stands elsewhere, the ruler is bent: an alarm."
)
ATTACKS = {
    "mia_auc": ("area", "area under the ROC curve"),
    "mia_tpr@1%": ("tpr-1", "share of members found at 1 % of non-members flagged"),
    "mia_tpr@0.1%": ("tpr-0.1", "share of members found at 0.1 % of non-members flagged"),
    "mia_eps": ("epsilon", "lower bound on epsilon"),
}
MEANS = "Means over seeds with Student-t 95 % intervals over seeds; i: over images, where no seed moves the number."
Part = str | Table | Figure


def method(tree: Tree) -> list[str]:
    """What was done, in short."""
    spec = tree.spec
    return [
        "Stages: prepare, train, sample, score, embed, evaluate, report. Every contestant is fitted on the training "
        f"split of each dataset it serves with seeds {', '.join(map(str, spec['seeds']))}; hyper-parameters and "
        "stopping see the validation split alone. All are measured on the same test images, the same outliers and, in "
        f"likelihood, the same noise u. Metrics: {', '.join(spec['metrics'])}; feature networks of the distances: "
        f"{', '.join(spec['nets'])}.",
        "A log-likelihood is an interval in nats, each end of a kind: exact, certified (by a theorem, up to a stated "
        "failure probability per run) or heuristic. It bounds the density of y = x + u or the mass of the image x; a "
        "mean log density lies below its own log mass, so the two are never ranked against each other. A model wins "
        "when the 95 % interval of its smallest possible advantage lies above 0 and its p-value, corrected by Holm "
        "for the comparisons of that quantity on that dataset, is below 5 %. Means are over the seeds that ran; "
        "'runs' says how many of those planned.",
    ]


def bounds(rows: dict[str, list[Row]]) -> dict[str, str]:
    """Kinds of the lower and upper end of every contestant with a likelihood, the weakest of all datasets."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows["summary"]:
        if row["metric"] in ("logp_lower", "logp_upper"):
            found.setdefault(row["model"], {}).setdefault(row["metric"], []).append(row["kind"])
    ends = ("logp_lower", "logp_upper")
    return {
        model: " / ".join(summary.weakest(kinds[end]) if end in kinds else "none" for end in ends)
        for model, kinds in found.items()
    }


def data(tree: Tree) -> list[Part]:
    """The datasets and the sizes of their splits."""
    splits, rows = ("train", "valid", "test", "fresh"), []
    for dataset in tree.spec["datasets"]:
        about = tree.about(dataset)
        texts = (" x ".join(map(str, about["shape"])), about["levels"] or "real", *(about["sizes"][s] for s in splits))
        rows.append([plain(dataset), *map(plain, texts), plain(", ".join(about["outliers"]))])
    caption = "Datasets: shape, levels, images in each split, and sets of outliers."
    return [Table("datasets", caption, ("dataset", "shape", "levels", *splits, "outliers"), rows)]


def figures(tree: Tree, dataset: str, *names: str) -> list[Figure]:
    """Those of the figures that the report has drawn."""
    places = [(name, f"figures/{name}/{dataset or 'all'}.pdf") for name in names]
    return [Figure(name, dataset, file) for name, file in places if (tree.root / file).is_file()]


def chapters(tree: Tree, rows: dict[str, list[Row]]) -> Iterator[Section]:
    """A chapter for each dataset, in the order of the report."""
    sums = {(row["dataset"], row["model"], row["metric"]): row for row in rows["summary"]}
    if shown := figures(tree, "", "observation"):
        yield Section("Observation models", 1, shown)
    for dataset in tree.spec["datasets"]:
        found = chapter(tree, dataset, sums, rows["paired"], rows["status"])
        shown, columns = _Tables(dataset, found), found["columns"]
        yield Section(dataset, 1, [])
        for title, parts in {
            "Likelihood": [
                *figures(tree, dataset, "likelihood"), shown.likelihood(),
                *figures(tree, dataset, "ladder"), shown.paired(found["logp"]),
            ],
            "Fidelity": [
                *figures(tree, dataset, "fidelity", "extrapolation"),
                *(shown.metrics(f"fidelity-{net}", f"Fidelity through the network {net}.", metrics, f"_{net}")
                  for net, metrics in found["nets"].items()),
                *figures(tree, dataset, "diversity", "classes", "ranks", "agreement"),
            ],
            "Outliers": [
                *figures(tree, dataset, "roc", "auroc"),
                *shown.outliers(views.areas(sums, dataset, tree.models(dataset))),
                shown.verdicts(found["outliers"]), *figures(tree, dataset, "ecdf", "scores"),
            ],
            "Memorisation": [
                *figures(tree, dataset, "distances"),
                shown.metrics("memorisation", "Memorisation; read numbers between resample's and memoriser's.",
                              columns["memorisation"]),
            ],
            "Membership": [
                *figures(tree, dataset, "membership", "leakage"),
                *(shown.metrics(f"attack-{name}", f"Attacks on membership: {about}.", columns[what], f"{what}/",
                                [*columns[what], *(["fit/epsilon"] if what == "mia_eps" else [])])
                  for what, (name, about) in ATTACKS.items() if columns[what]),
                *figures(tree, dataset, "plane"),
            ],
            "Use": [
                *figures(tree, dataset, "augmentation"),
                shown.metrics("use", "Accuracy on real test images: trained on real ones (trtr), or on as many "
                              "synthetic ones (tstr).", columns["utility"], "accuracy/"),
                shown.gains(found["gains"]),
            ],
            "Samples": figures(tree, dataset, "samples"),
            "Training": figures(tree, dataset, "training"),
            "Cost": [
                *figures(tree, dataset, "cost"),
                shown.metrics("evaluations", "Counted evaluations of a run.", columns["evals"], "evals/"),
            ],
        }.items():  # fmt: skip
            if present := [part for part in parts if not isinstance(part, Table) or part.rows]:
                yield Section(title, 2, present)


class _Tables:
    """The tables of one dataset's chapter; one without rows is not shown."""

    def __init__(self, dataset: str, found: dict) -> None:
        self.dataset, self.found = dataset, found

    def table(self, name: str, caption: str, columns: Iterable[str], rows: list) -> Table:
        return Table(f"{self.dataset}-{name}", f"{self.dataset}. {caption}", list(columns), rows)

    def runs(self, model: str) -> str:
        return "{}/{}".format(*self.found["runs"][model])

    def likelihood(self) -> Table:
        rows = [
            [plain(m["name"], m["family"]), plain(m["measure"]), plain(self.runs(m["name"])), interval(m["lower"]),
             plain(m["lower"]["kind"]), interval(m["upper"]), plain(m["upper"]["kind"]),
             number(m["bpd_lower"]["mean"], ".3f"), number(m["bpd_upper"]["mean"], ".3f")]
            for m in sorted(self.found["intervals"], key=lambda m: m["measure"])
        ]  # fmt: skip
        columns = ("model", "of", "runs", "log p, lower end", "kind", "log p, upper end", "kind of upper")
        caption = f"Mean log-likelihood of the test images, nats. {MEANS} Bits per dimension without intervals."
        return self.table("likelihood", caption, (*columns, "bits/dim, least", "bits/dim, most"), rows)

    def paired(self, found: list[Row]) -> Table:
        rows = [
            [plain(row["model"]), plain(row["reference"]), number(row["lower"]), number(row["upper"]),
             number(row["low"]), number(row["high"]), plain(f"{row['kind_lower']} / {row['kind_upper']}"),
             plain(row["n"]), plain(f"{row['n_ok']}/{row['n_planned']}"), plain(row["verdict"])]
            for row in found
        ]  # fmt: skip
        caption = "Advantage in log-likelihood, nats per image, paired by test image: from the least to the most that "
        caption += "the ends allow, and the 95 % interval over images, log Z and seeds."
        columns = ("model", "reference", "at least", "at most", "low", "high", "ends", "images", "runs", "verdict")
        return self.table("likelihood-paired", caption, columns, rows)

    def metrics(self, name: str, caption: str, metrics: list[str], drop: str = "", shown: list | None = None) -> Table:
        """A row for each model that has one of the metrics; `drop` is what the names of columns leave out."""
        shown = metrics if shown is None else shown
        rows = [
            [plain(m["name"], m["family"]), plain(self.runs(m["name"])), *(interval(m["rows"].get(c)) for c in shown)]
            for m in self.found["models"] if any(c in m["rows"] for c in metrics)
        ]  # fmt: skip
        columns = [c.replace(drop, "", 1) for c in shown]
        return self.table(name, f"{caption} {MEANS}", ("model", "runs", *columns), rows)

    def outliers(self, panels: list[Row]) -> Iterator[Table]:
        for panel in panels:
            if panel["name"] in ("nll", views.BASELINES):
                rows = [
                    [plain(label, family if family != views.TRIVIAL else ""), *map(share, values, halves)]
                    for (label, family), values, halves in zip(
                        panel["rows"], panel["values"].tolist(), panel["halves"].tolist(), strict=True
                    )
                ]
                own = panel["name"] == "nll"
                what = "the negative log-likelihood" if own else "trivial baselines"
                caption = f"Area under the ROC curve of {what}, by set of outliers, ± 95 % half width; 0.5 is chance."
                columns = ("model" if own else "score", *panel["columns"])
                yield self.table("outliers" if own else "outliers-trivial", caption, columns, rows)

    def verdicts(self, found: list[Row]) -> Table:
        rows, verdicts = [], ("wins", "not distinguishable", "loses")
        for quantity, group in groupby(sorted(found, key=lambda row: row["quantity"]), lambda row: row["quantity"]):
            group = list(group)
            models = [", ".join(row["model"] for row in group if row["verdict"] == verdict) for verdict in verdicts]
            best = group[0]["reference"].removeprefix(f"{views.TRIVIAL}/")
            rows.append([plain(quantity.removeprefix("auroc/")), plain(best), *map(plain, models)])
        caption = "Negative log-likelihood against the trivial baseline that is best in hindsight on each set."
        return self.table("outliers-verdicts", caption, ("outliers", "best trivial", *verdicts), rows)

    def gains(self, found: list[Row]) -> Table:
        rows = [
            [plain(row["model"]), *map(plain, row["quantity"].split("/")[1:3]), number(row["lower"], "+.3f"),
             number(row["low"], "+.3f"), number(row["high"], "+.3f"), plain(row["n"]),
             plain(f"{row['n_ok']}/{row['n_planned']}"), plain(row["verdict"])]
            for row in found if row["reference"] == "trtr"
        ]  # fmt: skip
        caption = "What synthetic images add to the real ones alone, in accuracy, paired by test image and seed."
        columns = ("model", "classifier", "trained on", "difference", "low", "high", "images", "runs", "verdict")
        return self.table("use-gains", caption, columns, rows)
