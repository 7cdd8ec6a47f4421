"""What a paper says of a benchmark of samplers: method, targets, and a chapter for each target or family."""

from collections.abc import Iterator
from functools import partial

from gm.figures.paper import SEEDS, Cell, Figure, Section, Table, number, plain
from gm.figures.paper import interval as any_interval
from gm.stages.chapters import figures
from gm.stages.results import Row, Tree
from gm.stages.sampling.evaluate import of
from gm.stages.sampling.report import chapter, places
from gm.table import sampling
from gm.table.targets import COMPARED

TITLE = "samplers and estimators of log Z on targets of known truth"
TABLES = ("pooled", "paired", "scaling", "checks", "status")
CHECKED = (
    "Controls are contestants: distances of exact draws must be within their null, certified ends must fail no oftener "
    "than they may, and no control may fail. Elsewhere the ruler is bent: an alarm."
)
ESTIMATES = {
    "error": "error", "rmse": "RMSE", "spread": "spread", "cover": "cover", "width": "width",
    "evals/train": "pilot", "evals": "evaluations",
}  # fmt: skip
DRAWS = {
    "ess": "effective draws", "per_thousand": "per 1000 gradients", "b2_mean": "b², mean", "b2_worst": "b², worst",
    "mode_tv": "mode weights, TV", "sliced_w2": "sliced W²", "mmd": "MMD²",
}  # fmt: skip
MARKS = {"not distinguishable": "≈", "wins": "<"}
MEANS = "Over the replicates of all seeds, with 95 % intervals; s: over seeds, where seeds differ."
Part = str | Table | Figure

interval = partial(any_interval, name="value", marks=SEEDS)


def method(tree: Tree) -> list[str]:
    """What was done, in short."""
    spec = tree.spec
    budgets = ", ".join(map(str, sorted(spec["budgets"])))
    return [
        "Stages: prepare, train (the pilot), sample, score (log Z), embed, evaluate, report. Every sampler is tuned by "
        "a pilot on each target it serves, frozen, and then draws and estimates log Z in "
        f"{spec['groups']} independent replicates, with seeds {', '.join(map(str, spec['seeds']))} and budgets of "
        f"{budgets} evaluations a replicate; {spec['draws']} draws a replicate. Metrics: {', '.join(spec['metrics'])}.",
        "An estimate is an interval for log Z in nats, each end of a kind: exact, certified (by a theorem, up to a "
        "stated failure probability) or heuristic, and a point. RMSE is the root mean square error of the point, cover "
        "the share of intervals that hold the truth. Replicates are pooled where the seeds differ no more than like "
        "ones do at the median, else the interval is Student's over seeds (s). ≈ says that a number is not "
        "distinguishable from the exact control's, < that it is lower. Discrepancies are multiples of those of as many "
        "exact draws. Budgets count evaluations of the gradient, every row of a batch; pilots are counted apart.",
    ]


def bounds(rows: dict[str, list[Row]]) -> dict[str, str]:
    """Kinds of the lower and upper end of every sampler's intervals, the weakest of all targets and budgets."""
    found: dict[str, list[list[str]]] = {}
    for row in rows["pooled"]:
        if row["quantity"] == "width":
            found.setdefault(row["model"], []).append(row["kind"].split("/"))
    return {
        model: " / ".join(sampling.weakest_end(pair[end] for pair in kinds) for end in (0, 1))
        for model, kinds in found.items()
    }


def data(tree: Tree) -> list[Part]:
    """The targets, with what is known of them."""
    rows = []
    for dataset in tree.spec["datasets"]:
        family, found = tree.spec["families"][dataset], facts(tree, dataset)
        members, vary = list(family["members"]), family["vary"]
        known = [about["log_z"] for about in found.values()]
        alone = members == [""]
        log_z = number(known[0]) if alone and known[0] is not None else plain("unknown" if None in known else "")
        dims = sorted({about["dim"] for about in found.values()})
        varied = "; ".join(f"{name} {', '.join(map(str, values))}" for name, values in vary.items())
        modes, exact = (sorted({about[key] for about in found.values()}) for key in ("modes", "reference"))
        texts = (
            "–".join(map(str, dict.fromkeys((dims[0], dims[-1])))),
            log_z.text,
            modes[-1] or "",
            exact[-1] or "none",
        )
        rows.append([plain(dataset), *map(plain, texts), plain(len(members)), plain(varied)])
    caption = "Targets: dimension, log Z in nats (of a target alone), modes, exact draws as reference, and what varies."
    columns = ("target", "dimension", "log Z", "modes", "exact draws", "members", "varied")
    return [Table("datasets", caption, columns, rows)]


def facts(tree: Tree, dataset: str) -> dict[str, Row]:
    """By member its dimension, log Z if known, modes if told, and the number of exact draws."""
    out = {}
    for member in tree.spec["families"][dataset]["members"]:
        found = of(tree.data[dataset], member)
        out[member] = {
            "dim": int(found["dim"]),
            "log_z": float(found["log_z"]) if "log_z" in found else None,
            "modes": len(found.get("mode_weights", ())),
            "reference": len(found.get("x", ())),
        }
    return out


def pools_of(rows: list[Row]) -> dict[tuple[str, str, str], dict[str, Row]]:
    """Pooled numbers as the report had them before it wrote them, by place and by quantity and budget."""
    pools: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in rows:
        key = f"{row['quantity']}/{row['budget']}" if row["budget"] else row["quantity"]
        pools.setdefault((row["dataset"], row["member"], row["model"]), {})[key] = row
    return pools


def chapters(tree: Tree, rows: dict[str, list[Row]]) -> Iterator[Section]:
    """A chapter for each target or family, in the order of the report."""
    yield Section("Overview", 1, figures(tree, "", "overview", "honesty", "efficiency", "evals"))
    pools, spec = pools_of(rows["pooled"]), tree.spec
    runs = {(cell["dataset"], cell["model"]): (cell["n_ok"], cell["n_planned"]) for cell in rows["status"]}
    known = {d: facts(tree, d) for d in spec["datasets"]}
    dims = {place: known[place[0]][place[1]] for place in places(tree)}
    for dataset in spec["datasets"]:
        found = chapter(tree, dataset, pools, dims, {}, runs, rows["paired"], rows["scaling"])
        if found["alone"]:
            drawn = figures(tree, dataset, "logz", "draws")
            parts = [*drawn[:1], estimates(found, max(spec["budgets"])), *drawn[1:], draws(found)]
        else:
            told = f"A family of {len(found['members'])} targets. All numbers of its members are in pooled.csv."
            parts = [told, *figures(tree, dataset, "difficulty"), scaling(found)]
        yield Section(dataset, 1, [part for part in parts if not isinstance(part, Table) or part.rows])


def marked(cell: Cell, verdict: str | None) -> Cell:
    """A number with what the comparison with the exact control says of it."""
    mark = MARKS.get(verdict or "", "")
    return Cell(cell.text + mark, cell.note, cell.data | ({"against exact": verdict} if verdict else {}), cell.family)


def estimates(found: Row, budget: int) -> Table:
    """log Z at the largest budget."""
    caption = f"Estimates of log Z at {budget} evaluations a replicate, nats. {MEANS}"
    if found["facts"]["log_z"] is None:
        caption += " log Z is not known: the error is the distance from the median sampler."
    compared = {"rmse": f"rmse/{budget}"}
    return _table(found, "logz", caption, ESTIMATES, compared)


def draws(found: Row) -> Table:
    """Errors of draws."""
    return _table(found, "draws", f"Draws of a replicate. {MEANS}", DRAWS, {name: name for name in COMPARED})


def _table(found: Row, name: str, caption: str, titles: dict[str, str], compared: dict[str, str]) -> Table:
    """A row for each sampler that has any of the quantities, marked by verdicts on those that are compared."""
    models = [model for model in found["models"] if any(key in model["cells"] for key in titles)]
    present = [key for key in titles if any(key in model["cells"] for model in models)]

    def cells(model: Row) -> list[Cell]:
        verdicts = {key: model["verdicts"].get(quantity) for key, quantity in compared.items()}
        return [marked(interval(model["cells"].get(key)), verdicts.get(key)) for key in present]

    def ends(model: Row) -> Cell:
        return plain(model["cells"].get("width", {}).get("kind", ""))

    shown = [
        [plain(model["name"], model["family"]), plain("{}/{}".format(*model["seeds"])), *cells(model)]
        for model in models
    ]
    columns = ("sampler", "runs", *(titles[key] for key in present))
    if "width" in present:
        columns, shown = (*columns, "ends"), [[*row, ends(model)] for row, model in zip(shown, models, strict=True)]
    return Table(f"{found['name']}-{name}", f"{found['name']}. {caption}", columns, shown)


def scaling(found: Row) -> Table:
    """Fitted exponents of a family."""
    rows = []
    for model in found["models"]:
        fits = {fit["of"]: fit for fit in model["scaling"]}
        if fits:
            cells = [interval(fit | {"value": fit["exponent"], "over": ""} if fit["exponent"] is not None else None)
                     for fit in fits.values()]  # fmt: skip
            first = next(iter(fits.values()))
            rows.append(
                [plain(model["name"], model["family"]), *cells, plain(first["cells"]), plain(first["left_out"])]
            )
    caption = f"{found['name']}. Exponents of RMSE in the dimension and in the evaluations, by least squares on "
    caption += "logarithms, with Student's 95 % intervals; annealing with perfect moves has 1/2 and −1/2. Cells left "
    caption += "out are at the ceiling, or without error; leaving them out biases exponents towards 0."
    columns = ("sampler", "in the dimension", "in the evaluations", "cells fitted", "left out")
    return Table(f"{found['name']}-scaling", caption, columns, rows)
