"""The figures of a grid of targets, from pooled numbers."""

import itertools
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gm.figures import captions, style
from gm.figures import coverage as draw_coverage
from gm.figures import sampling_dots as draw_dots
from gm.figures import sampling_logz as draw_logz
from gm.figures import sampling_maps as draw_maps
from gm.stages.results import Row, Tree, write
from gm.table import targets, views

Drawn = dict[str, style.Drawing]


def draw(tree: Tree, pools: dict, points: dict, facts: dict, known: dict, cells: list[Row], origin: str) -> dict:
    """Draw and write every figure; by dataset (empty for the whole benchmark) and name, its address for the page."""
    for name in captions.TARGETS:
        (tree.root / "figures" / name).mkdir(parents=True, exist_ok=True)
    drawings = {("", name): drawing for name, drawing in whole(tree, pools, facts, cells).items()}
    for dataset in tree.spec["datasets"]:
        if list(tree.spec["families"][dataset]["members"]) == [""]:
            found = of_target(tree, dataset, pools, points, facts[dataset, ""], known.get((dataset, "")))
        else:
            found = of_family(tree, dataset, pools)
        drawings |= {(dataset, name): drawing for name, drawing in found.items()}
    return write(tree, drawings, origin)


def whole(tree: Tree, pools: dict, facts: dict, cells: list[Row]) -> Drawn:
    """The figures of the whole benchmark."""
    models = [{"name": name, "family": about["family"]} for name, about in tree.spec["models"].items()]
    names = [(model["name"], model["family"]) for model in models]
    found: Drawn = {"coverage": partial(draw_coverage.coverage, names, tree.spec["datasets"], views.coverage(cells))}
    budget = max(tree.spec["budgets"])
    alone = [d for d in tree.spec["datasets"] if "" in tree.spec["families"][d]["members"]]
    known = [d for d in alone if facts[d, ""]["log_z"] is not None]
    for name, shown, key, label, better in (
        ("overview", known, f"rmse/{budget}", "root mean square error of log Z (nats)", "low"),
        ("efficiency", alone, "ess_per_gradient", "effective draws per gradient evaluation", "high"),
    ):
        rows = [[pools.get((d, "", m["name"]), {}).get(key) for d in shown] for m in models]
        values = np.array([[np.nan if row is None else row["value"] for row in line] for line in rows])
        if not np.isfinite(values).any():
            continue
        texts = {}
        for i, j in np.ndindex(values.shape):
            if rows[i][j] is not None:
                cover = pools[shown[j], "", models[i]["name"]].get(f"cover/{budget}") if name == "overview" else None
                texts[i, j] = marked(rows[i][j], cover, len(tree.runs(shown[j], models[i]["name"])))
        found[name] = partial(draw_maps.matrix, models, shown, values, texts, label=label, better=better)
    found["honesty"] = partial(honesty, models, pools, budget)
    found["evals"] = partial(evals, models, pools, budget, tree.spec["groups"])
    return found


def marked(row: Row, cover: Row | None, planned: int) -> str:
    """A cell's number, a cross where intervals hold less often than promised, and the seeds that ran if not all did."""
    text = draw_maps.text_of(row["value"]) + (" ×" if cover and cover["high"] < cover["level"] else "")
    return text + (f"\n{row['n_ok']}/{planned}" if row["n_ok"] < planned else "")


def honesty(models: list[Row], pools: dict, budget: int) -> Figure:
    """How often intervals hold the truth, how wide they are, and whether certified ends hold."""
    shares = ("cover", "certified_lower", "certified_upper")
    shown = []
    for model in models:
        rows = targets.totals(pools, budget, model["name"], shares)
        if width := targets.spread_of(pools, model["name"], f"width/{budget}"):
            rows["width"] = width
        shown.append(model | {"rows": rows})
    panels = [
        {"title": "intervals that hold the truth", "label": "share, 95 % Clopper-Pearson\n(dashed: promised)",
         "keys": [("cover", "o")], "limits": (-0.03, 1.03)},
        {"title": "their width", "label": "nats, median over targets\n(line: quartiles)", "keys": [("width", "o")],
         "log": True},
        {"title": "certified ends that hold", "label": "share of replicates\n(dashed: promised, 1 − α)",
         "keys": [("certified_lower", "<"), ("certified_upper", ">")]},
    ]  # fmt: skip
    legend = [
        Line2D([], [], marker="<", ls="", color="#444444", label="certified lower end"),
        Line2D([], [], marker=">", ls="", color="#444444", label="certified upper end"),
        Line2D([], [], marker="|", ls="", color="#444444", alpha=0.4, label="one target"),
    ]
    return draw_dots.dots(shown, panels, legend=legend)


def evals(models: list[Row], pools: dict, budget: int, groups: int) -> Figure:
    """Counted evaluations of the pilot, of one estimate and of one replicate's draws."""
    shown = []
    for model in models:
        name = model["name"]
        keys = {"pilot": "evals/train", "estimate": f"evals/{budget}", "draws": "evals/sample"}
        rows = {key: row for key, source in keys.items() if (row := targets.spread_of(pools, name, source))}
        if "draws" in rows:
            rows["draws"] = _divided(rows["draws"], groups)
        shown.append(model | {"rows": {key: row for key, row in rows.items() if row["value"] > 0}})
    text = "evaluations, median over targets\n(line: quartiles)"
    panels = [
        {"title": "pilot, once a run", "label": text, "keys": [("pilot", "o")], "log": True},
        {"title": "one estimate of log Z", "label": f"{text}, dashed: budget", "keys": [("estimate", "o")], "log": True,
         "lines": [budget]},
        {"title": "one replicate's draws", "label": text, "keys": [("draws", "o")], "log": True},
    ]  # fmt: skip
    return draw_dots.dots(shown, panels)


def _divided(row: Row, groups: int) -> Row:
    ends = {end: row[end] / groups for end in ("value", "low", "high") if row[end] is not None}
    return row | ends | {"all": [value / groups for value in row["all"]]}


def of_target(tree: Tree, dataset: str, pools: dict, points: dict, facts: Row, law: dict | None) -> Drawn:
    """The figures of one target."""
    budget, found = max(tree.spec["budgets"]), Drawn()
    truth, models = facts["log_z"] is not None, []
    for model, about in tree.models(dataset).items():
        rows = pools[dataset, "", model]
        ends = {name: rows.get(f"{name}/{budget}") for name in ("error", "lower_error", "upper_error")}
        key = "rmse" if truth else "spread"
        curve = [
            (rows[f"evals/{b}"]["value"], rows[f"{key}/{b}"]) for b in tree.spec["budgets"] if f"{key}/{b}" in rows
        ]
        gone = "no estimate" if any(map(tree.ran, tree.runs(dataset, model))) else "no run succeeded"
        about = {"name": model, "family": about["family"], "rows": rows, "curve": curve, "gone": gone}
        models.append(about | ends | {"points": points[dataset, "", model, budget]})
    if any(model["error"] for model in models):
        found["logz"] = partial(draw_logz.logz, models, truth=truth, budget=budget)
    if law and any("b2_mean" in model["rows"] or "mmd" in model["rows"] for model in models):
        found["draws"] = partial(draw_dots.dots, models, panels_of(tree, facts, law))
    return found


def panels_of(tree: Tree, facts: Row, law: dict) -> list[Row]:
    """Panels of the draws of one target."""
    n = tree.spec["draws"]
    panels: list[Row] = [
        {"title": "effective draws", "label": f"of {n} draws a replicate; right is better\n(dashed: exact draws)",
         "keys": [("ess", "o")], "log": True, "lines": [law["ess"]]},
        {"title": "per gradient", "label": "effective draws per evaluation\nright is better",
         "keys": [("ess_per_gradient", "o")], "log": True},
    ]  # fmt: skip
    if facts["mode_tv"] is not None:
        label = "total variation; left is better\n(dashed: exact draws)"
        panels.append(
            {"title": "mode weights", "label": label, "keys": [("mode_tv", "o")], "lines": [facts["mode_tv"]]}
        )
    for key, title in (("sliced_w2", "sliced Wasserstein²"), ("mmd", "MMD²")):
        panel = {
            "title": title,
            "label": f"multiple of exact draws' (dashed)\nband: 95 % of {law['sets']} sets of them",
            "keys": [(key, "o")],
        }
        panels.append(panel | {"log": True, "lines": [1.0], "band": law["ends"][key]})
    return panels


def of_family(tree: Tree, dataset: str, pools: dict) -> Drawn:
    """The difficulty map of a family: its dimension, or else its first parameter, by the others."""
    vary, members = tree.spec["families"][dataset]["vary"], tree.spec["families"][dataset]["members"]
    first = "dim" if "dim" in vary else next(iter(vary))
    rest = [name for name in vary if name != first]
    across = list(itertools.product(*(vary[name] for name in rest)))
    labels = [", ".join(f"{v:g}" if isinstance(v, int | float) else str(v) for v in place) for place in across]
    budget, panels = max(tree.spec["budgets"]), []
    for model, about in tree.models(dataset).items():
        values, texts = np.full((len(vary[first]), len(across)), np.nan), {}
        for member, given in members.items():
            at = vary[first].index(given[first]), across.index(tuple(given[name] for name in rest))
            rows = pools[dataset, member, model]
            row = rows.get(f"rmse/{budget}")
            values[at] = np.nan if row is None else row["value"]
            if row is None:
                texts[at] = "–"
            else:
                texts[at] = marked(row, rows[f"cover/{budget}"], len(tree.runs(dataset, model)))
        if np.isfinite(values).any():
            panels.append({"name": model, "family": about["family"], "values": values, "texts": texts})
    place = (first, vary[first]), (", ".join(rest), labels)
    return {"difficulty": partial(draw_maps.difficulty, panels, *place)} if panels else {}
