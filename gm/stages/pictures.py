"""The figures of a benchmark of images: which there are, and where they are written."""

import math
from functools import partial

from matplotlib.figure import Figure

from gm.figures import augmentation as draw_augmentation
from gm.figures import captions, style
from gm.figures import coverage as draw_coverage
from gm.figures import extrapolation as draw_extrapolation
from gm.figures import fidelity as draw_fidelity
from gm.figures import heat as draw_heat
from gm.figures import likelihood as draw_likelihood
from gm.figures import observation as draw_observation
from gm.figures import outliers as draw_outliers
from gm.figures import privacy as draw_privacy
from gm.figures import ranks as draw_ranks
from gm.figures import samples as draw_samples
from gm.figures import training as draw_training
from gm.stages import panels
from gm.stages.results import Row, Tree, write
from gm.table import agreement, checks, curves, views
from gm.table import panels as views_of

DISTANCES = ("FD_", "KID_")
DIVERSITY = ("precision_", "recall_", "density_", "coverage_")
LEAKAGE = (
    ("mia_auc", "area under the ROC curve", 0.5),
    ("mia_tpr@1%", "members found at 1 % of non-members flagged", 0.01),
    ("mia_eps", "lower bound on ε (95 %)", 0.0),
)
# The attack of the plane is the first of these that a dataset has: named beforehand, not the one that finds most.
DECLARED = ("domias", "nearest", "likelihood")

Drawn = dict[str, style.Drawing]


def draw(
    tree: Tree,
    trivial: dict,
    sums: checks.Summary,
    pairs: list[Row],
    ranked: list[Row],
    cells: list[Row],
    origin: str,
) -> dict:
    """Draw and write every figure; by dataset (empty for the whole benchmark) and name, its address for the page."""
    for name in captions.CAPTIONS:
        (tree.root / "figures" / name).mkdir(parents=True, exist_ok=True)
    drawings = {("", name): drawing for name, drawing in whole(tree, sums, cells).items()}
    for dataset in tree.spec["datasets"]:
        found = figures_of(tree, dataset, trivial[dataset], sums, pairs, ranked)
        drawings |= {(dataset, name): drawing for name, drawing in found.items()}
    return write(tree, drawings, origin)


def whole(tree: Tree, sums: checks.Summary, cells: list[Row]) -> Drawn:
    """The figures of the whole benchmark."""
    families = [(model, about["family"]) for model, about in tree.spec["models"].items()]
    drawn = {"coverage": partial(draw_coverage.coverage, families, tree.spec["datasets"], views.coverage(cells))}
    if found := views_of.observation(sums, {dataset: tree.models(dataset) for dataset in tree.spec["datasets"]}):
        drawn["observation"] = partial(draw_observation.observation, found)
    return drawn


def figures_of(
    tree: Tree, dataset: str, trivial: dict, sums: checks.Summary, pairs: list[Row], ranked: list[Row]
) -> Drawn:
    """The figures of one dataset, those that have something to show, by name."""
    about, models = tree.about(dataset), tree.models(dataset)
    items = panels.Items(tree, dataset)
    drawn = {}
    if groups := panels.sample_groups(tree, dataset):
        drawn["samples"] = partial(draw_samples.samples, groups, *about["ends"])
    intervals = views.intervals(sums, dataset, models)
    if intervals:
        drawn["likelihood"] = partial(draw_likelihood.likelihood, intervals, math.prod(about["shape"]))
    if rungs := views.rungs(pairs, dataset, tree.spec["ladder"], models):
        drawn["ladder"] = partial(draw_likelihood.ladder, tree.spec["ladder"][0], rungs)
    drawn |= fidelity(items, dataset, sums)
    if areas := views.areas(sums, dataset, models):
        drawn["roc"] = partial(draw_outliers.roc, panels.roc_sets(tree, dataset, trivial, sums), curves.GRID)
        if tree.densities(dataset):
            drawn["ecdf"] = partial(draw_outliers.ecdf, *panels.score_sets(tree, dataset))
        label = "AUROC ± 95 % half width (0.5 = chance)"
        plain = ("nll", views.BASELINES)
        drawn["auroc"] = partial(draw_heat.panels, [panel for panel in areas if panel["name"] in plain], label)
        if others := [panel for panel in areas if panel["name"] not in plain]:
            drawn["scores"] = partial(draw_heat.panels, others, label)
    drawn |= privacy(items, dataset, sums) | utility(tree, dataset, sums)
    if fits := panels.histories(tree, dataset):
        drawn["training"] = partial(draw_training.training, fits)
    quality = [("logp_lower", "log p, lower end, nats per image (up is better)")] if intervals else []
    quality += [(metric, f"{metric} (down is better)") for metric in views.metrics_of(sums, dataset, *DISTANCES)[:1]]
    if quality:
        rows = views.by_model(sums, dataset, models, [metric for metric, _ in quality])
        drawn["cost"] = partial(draw_fidelity.cost, rows, quality)
    if found := views_of.ranked(ranked, dataset, models):
        drawn["ranks"] = partial(draw_ranks.ranks, found)
    return drawn


def fidelity(items: panels.Items, dataset: str, sums: checks.Summary) -> Drawn:
    """How close samples are to real images, through every net, and how far the nets agree."""
    drawn, models = {}, items.models
    if metrics := views.metrics_of(sums, dataset, *DISTANCES):
        drawn["fidelity"] = partial(draw_fidelity.fidelity, views.by_model(sums, dataset, models, metrics), metrics)
    if found := panels.extrapolation(items, sums, dataset):
        drawn["extrapolation"] = partial(draw_extrapolation.extrapolation, found)
    if metrics := [metric for found in views_of.by_net(sums, dataset, *DIVERSITY).values() for metric in found]:
        rows, right = views.by_model(sums, dataset, models, metrics), "further right is better"
        drawn["diversity"] = partial(draw_fidelity.fidelity, rows, metrics, columns=4, better=right)
    if found := views.classes(sums, dataset, models):
        drawn["classes"] = partial(draw_heat.panels, found, "coverage of a class ± 95 % half width", cmap="cividis")
    columns = views_of.goodness(sums, dataset, models)
    if len(columns) > 1:
        drawn["agreement"] = partial(_agreement, columns)
    return drawn


def _agreement(columns: dict[str, dict[str, float]]) -> Figure:
    """Computed where it is drawn: the import of scipy.stats takes longer than the figure."""
    tau, p, n = agreement.matrix(columns)
    return draw_heat.agreement(list(columns), tau, p, n, agreement.critical(int(n.max())))


def privacy(items: panels.Items, dataset: str, sums: checks.Summary) -> Drawn:
    """What samples and scores tell of the training images, and at what use."""
    drawn, models = {}, items.models
    found, grid = panels.distances(items)
    if found:
        drawn["distances"] = partial(draw_privacy.distances, found, grid)
    found, grid = panels.membership(items)
    if found:
        drawn["membership"] = partial(draw_privacy.membership, found, grid)
    attacks = views_of.attacks(sums, dataset)
    if attacks:
        metrics = views.metrics_of(sums, dataset, *(f"{metric}/" for metric, _, _ in LEAKAGE))
        rows = [model | {"accounted": sums.get((dataset, model["name"], "fit/epsilon"))}
                for model in views.by_model(sums, dataset, models, metrics)
                if model["rows"]]  # fmt: skip
        present = [panel for panel in LEAKAGE if views.metrics_of(sums, dataset, f"{panel[0]}/")]
        drawn["leakage"] = partial(draw_privacy.leakage, rows, attacks, present)
    declared = next((name for name in DECLARED if name in attacks), None)
    quality = [(metric, f"accuracy of {metric.split('/')[1]} (up is better)")
               for metric in views.metrics_of(sums, dataset, "accuracy/") if metric.endswith("/tstr")][:1]  # fmt: skip
    quality += [(metric, f"{metric} (down is better)") for metric in views.metrics_of(sums, dataset, "FD_")[:1]]
    if declared and quality:
        risk = (f"mia_auc/{declared}", f"area under the ROC curve of the attack '{declared}' (left is better)", 0.5)
        rows = views.by_model(sums, dataset, models, [risk[0], *(metric for metric, _ in quality)])
        drawn["plane"] = partial(draw_privacy.plane, rows, risk, quality)
    return drawn


def utility(tree: Tree, dataset: str, sums: checks.Summary) -> Drawn:
    """Accuracy with synthetic images, of this and all smaller or larger datasets that have the same test images."""
    group = next(group for group in panels.same_test(tree) if dataset in group)
    if dataset != next(iter(group)):
        return {}
    models = {model: about for name in group for model, about in tree.models(name).items()}
    found = views_of.augmentation(sums, group, models)
    n = tree.about(dataset)["sizes"]["test"]
    return {"augmentation": partial(draw_augmentation.augmentation, found, n)} if found else {}
