"""What each figure shows, what to conclude from it, and what not; the workflow's captions repeat these."""

CAPTIONS = {
    "coverage": (
        "Which cells of the grid ran: seeds that finished over seeds planned. A failed cell is a result, "
        "with its reason in status.csv. Conclude: how complete the comparison is. Do not compare a model "
        "that lost seeds as if it had them all: its means are over the seeds that survived."
    ),
    "samples": (
        "First ten samples of the first seed that ran, not chosen; below each the training image nearest "
        "to it in Euclidean distance over pixels, with that distance in levels (red: an exact copy). The "
        "first group is real test images. Conclude: whether strokes look right, and whether a model "
        "replays its training images. Do not conclude: which model is best; ten images show neither "
        "coverage nor rare failures."
    ),
    "likelihood": (
        "Mean log density of the test images at y = x + u, in nats per image, as the interval that holds "
        "it: from the lower to the upper end, with Student-t 95 % intervals over seeds as thin lines. "
        "Filled ends are exact or certified by a theorem, open ones heuristic; an arrow means that there "
        "is no upper end. At the right, the ends, and seeds that ran over seeds planned. Below the "
        "dotted line are masses of floor(y): a density's mean over the noise u lies below its own log "
        "mass, by nats, so read each block by itself. Conclude: within a block, a model is better where "
        "its lower end lies above another's upper end; the paired table gives the error of that "
        "difference. Do not read the middle of a wide interval as an estimate, nor a likelihood as the "
        "quality of samples."
    ),
    "ladder": (
        "What each rung adds to the reference density that all of them tilt: gain in nats per test "
        "image, paired by image, from the least to the most that the ends allow (bar), with its 95 % "
        "interval over images, log Z and seeds (line); filled ends are certified, open ones heuristic. "
        "At the right, the verdict and the 95 % interval of the gain over the rung below. Conclude: what "
        "random features, learned features and a trained network buy. Rungs differ in how they are "
        "fitted too, not in features alone. Do not conclude that a rung is worthless where the line "
        "holds 0: it is not distinguishable with this many images."
    ),
    "fidelity": (
        "Frechet distance (FD) and kernel distance (KID) between samples and the test split, on each "
        "feature net; dots are means over seeds, lines Student-t 95 % intervals over seeds (over images "
        "where no seed moves the number), pale lines with the error over images added. The dashed line "
        "is resample, real images that nobody else saw: the floor at this number of images. Conclude: a "
        "model is at best not distinguishable from the floor. Not distinguishable is not equal: KID at "
        "this number of images separates few contestants, and the best model is picked on the same "
        "numbers. Do not trust a model below the floor, do not compare values between nets or with "
        "published ones, and do not reward memoriser: replaying training images scores well here by "
        "design."
    ),
    "roc": (
        "Share of outliers found against share of test images flagged, mean over seeds: the best "
        "densities on each set by their negative log-likelihood, and the best trivial baseline in "
        "hindsight (dashed). Conclude: how many false alarms a detection rate costs. A curve below the "
        "diagonal ranks outliers as more typical than test images; it is never flipped. Do not rank "
        "models whose curves lie closer than the paired table's error."
    ),
    "auroc": (
        "Area under the ROC curve per score (rows) and outlier set (columns), mean over seeds with a 95 "
        "% half width (Student-t over seeds and, in quadrature, DeLong over images, never less than the "
        "number of distinct images allows; the trivial baselines below the line have no seed). Orange to "
        "purple: from found last to found first. Conclude: where a model adds to what brightness or "
        "compressibility already tell. Do not take the best row of a column as a method: it was chosen "
        "in hindsight."
    ),
    "training": (
        "Named terms that each fit recorded, one curve per seed, each panel with its own scale; at most "
        "six terms, in alphabetical order. Conclude: whether a fit settled, drifted or blew up. Do not "
        "compare heights between models: the terms are different quantities. Models without a recorded "
        "fit have no panel."
    ),
    "cost": (
        "Counted evaluations of one run in training and scoring (a density, a gradient or a Gibbs sweep "
        "of one image counts one; sampling is not counted) against the lower end of the log-likelihood "
        "and against the Frechet distance; lines are Student-t 95 % intervals over seeds, pale lines "
        "with the error over images added. Evaluations are counted, so this figure is the same on every "
        "machine; seconds are in cost.csv. Conclude: what the extra work bought. Do not read it as time: "
        "one evaluation of a large network costs more than one of a small one."
    ),
}

# The same of the benchmark of samplers; coverage is common to both.
TARGETS = {
    "coverage": CAPTIONS["coverage"],
    "overview": (
        "Root mean square error of log Z at the largest budget, in nats, over the replicates of the seeds "
        "that ran (their number, if not all did): samplers (rows) by targets of known log Z (columns); dark "
        "is small, colours end at 10 nats. A cross marks cells whose published intervals hold the truth less "
        "often than they promise (Clopper-Pearson, 95 %): 1 - 2α of two certified ends, 1 - 1.5α of a "
        "certified and a heuristic one, 1 - α of two heuristic ones. Conclude: which sampler solves which "
        "target, and where an error is not owned up to. Do not rank two samplers by colour: intervals are in "
        "the tables of each target, and budgets count evaluations, not seconds."
    ),
    "logz": (
        "Left, the error of log Z at the largest budget: replicates of the seeds that ran (faint dots), their "
        "mean with its 95 % interval (line), and the mean published interval as a pale bar whose ends are "
        "filled where exact or certified by a theorem, open where heuristic; an arrow leaves the axis, and "
        "the mean stands at the right; wide intervals are cut at the frame. Right, the root mean square error "
        "against counted evaluations of one replicate, without the pilot, which may cost more than all "
        "estimates together; intervals are nominally 95 %, about 93 % for normal errors, less where few "
        "replicates carry the error; controls are grey and dashed; the dotted line has the slope -1/2 of "
        "independent draws. Where log Z is not known, errors are from the median sampler, and the right panel "
        "shows the spread of replicates alone. Conclude: who is right, who says so, and what a larger budget "
        "buys. Do not take a small spread for a small error: a sampler that misses a mode repeats itself "
        "well."
    ),
    "honesty": (
        "Left, the share of published intervals that hold the true log Z, at the largest budget, over the "
        "targets, members of families and replicates that each sampler runs on, which differ (see coverage), "
        "with Clopper-Pearson 95 % intervals; dashed, what they promise: 1 - 2α of two certified ends, 1 - "
        "1.5α of a certified and a heuristic one. Middle, the width of those intervals: median over targets "
        "(dot), quartiles (line), one tick a target. Right, the share of certified lower and upper ends that "
        "hold, by themselves; dashed, 1 - α. Conclude: a sampler is honest when its dots are not below its "
        "dashed lines, and useful when its intervals are narrow as well. Do not blame a certified end for a "
        "heuristic one: an interval fails when either end does. Do not read widths as the sampler's alone: R "
        "independent blocks give away ln(1/α)/R nats of a certified end, at α = 0.05 0.75 for the 4 islands "
        "of SMC and 0.19 for 16 blocks. Counts are not of independent trials: replicates of one seed share a "
        "pilot, samplers of one seed random streams."
    ),
    "efficiency": (
        "Effective draws per gradient evaluation: the number of independent exact draws whose first two "
        "moments would be as wrong in mean square, divided by the evaluations of one replicate; over the "
        "seeds that ran (their number, if not all did); samplers (rows) by targets (columns), dark is many. "
        "Bias counts as error, so a biased sampler is not flattered. Pilots are not counted here; the figure "
        "of evaluations has them. Grey: no draws, no exact draws to compare with, or no gradients spent. "
        "Conclude: what one gradient buys. Do not read it where the number of effective draws is near 1 or "
        "near the size of the reference: moments then say little."
    ),
    "draws": (
        "Draws of one replicate beside exact ones: effective draws by the error of moments, the same per "
        "gradient evaluation, the total variation error of mode weights, and sliced Wasserstein and maximum "
        "mean discrepancies as multiples of those of as many exact draws. Dots are means over replicates of "
        "the seeds that ran, lines 95 % intervals, cut at the frame; dashed lines are what exact draws, "
        "against the same reference, have on average; grey bands hold the middle 95 % of 100 sets of them, a "
        "band for one set, where dots are means and should lie closer. Conclude: a sampler whose interval "
        "holds the dashed line is not distinguishable from exact draws at this number. Do not conclude that "
        "it is exact: few draws tell little, and no single distance sees everything. The exact control must "
        "stand at the line of a distance; where it does not, the ruler is bent. On heavy tails (funnel, "
        "Student's t) few draws decide the moments: read effective draws against the exact control only."
    ),
    "difficulty": (
        "Root mean square error of log Z at the largest budget over a family of targets, in nats, over the "
        "seeds that ran (their number, if not all did): one panel per sampler, one cell per member; all "
        "panels share the colours, which end at 10 nats. A cross marks members whose published intervals hold "
        "the truth less often than they promise, a dash those without a result. Conclude: in which direction "
        "a sampler gives way, and how early; the table of exponents gives the rates. Cells left out of those "
        "fits are chosen by their error, which biases exponents towards 0. Do not extrapolate an exponent "
        "beyond the members it was fitted on, nor into cells whose error is no longer small."
    ),
    "evals": (
        "Counted evaluations of the pilot of one run, of one estimate of log Z at the largest budget "
        "(dashed), and of the draws of one replicate: median over targets (dot), quartiles (line), one tick "
        "a target. Every row of a batch counts one. A sampler without a dot spends none. Conclude: whether "
        "budgets were kept, and what tuning costs beside the estimate that it serves; a pilot is shared by "
        "all replicates of its run. Do not read it as time: seconds are in cost.csv, and depend on the "
        "machine."
    ),
}
