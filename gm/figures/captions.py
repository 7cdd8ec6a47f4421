"""What each figure shows, what to conclude from it, and what not; the workflow's captions repeat these."""

CAPTIONS = {
    "coverage": (
        "Which cells of the grid ran: seeds that finished over seeds planned. A failed cell is a result, with its "
        "reason in status.csv. Conclude: how complete the comparison is. Do not compare a model that lost seeds "
        "as if it had them all: its means are over the seeds that survived."
    ),
    "samples": (
        "First ten samples of the first seed that ran, not chosen; below each the training image nearest to it in "
        "Euclidean distance over pixels, with that distance in levels (red: an exact copy). The first group is "
        "real test images. Of confidential data only samples are shown. Conclude: whether strokes look right, and "
        "whether a model replays its training images. Do not conclude: which model is best; ten images show "
        "neither coverage nor rare failures."
    ),
    "likelihood": (
        "Mean log density of the test images at y = x + u, in nats per image, as the interval that holds it: from "
        "the lower to the upper end, with Student-t 95 % intervals over seeds as thin lines. Filled ends are "
        "exact or certified by a theorem, open ones heuristic; an arrow means that there is no upper end. At the "
        "right, the ends, and seeds that ran over seeds planned. Below the dotted line are masses of floor(y): a "
        "density's mean over the noise u lies below its own log mass, by nats, so read each block by itself. "
        "Conclude: within a block, a model is better where its lower end lies above another's upper end; the "
        "paired table gives the error of that difference. Do not read the middle of a wide interval as an "
        "estimate, nor a likelihood as the quality of samples."
    ),
    "ladder": (
        "What each rung adds to the reference density that all of them tilt: gain in nats per test image, paired "
        "by image, from the least to the most that the ends allow (bar), with its 95 % interval over images, log "
        "Z and seeds (line); filled ends are certified, open ones heuristic. At the right, the verdict and the 95 "
        "% interval of the gain over the rung below. Conclude: what random features, learned features and a "
        "trained network buy. Rungs differ in how they are fitted too, not in features alone. Do not conclude "
        "that a rung is worthless where the line holds 0: it is not distinguishable with this many images."
    ),
    "observation": (
        "Plain likelihood as an outlier score: AUROC of -log p against bits per dimension, where one of "
        "Fashion-MNIST and MNIST is learned and the other is the outlier set. Squares are masses of x, circles "
        "densities of y = x + u; bars and arrows reach from the least to the most bits that the ends of the "
        "interval allow; vertical lines are 95 % half widths over seeds and images. Where models that observe "
        "pixels differently but are otherwise alike (a Gaussian and a discretised logistic decoder; a Gaussian, "
        "an independent and a copula density) stand on both sides of 0.5, it is the observation model that "
        "decides whether the paradox of Nalisnick et al. (Do deep generative models know what they don't know?, "
        "2019) appears. Conclude: read an AUROC of likelihood with the observation model beside it. Do not "
        "conclude that fewer bits find more outliers, nor that a model above 0.5 knows what an outlier is: "
        "compare with the trivial baselines."
    ),
    "fidelity": (
        "Frechet distance (FD) and kernel distance (KID) between samples and the test split, on each feature net; "
        "dots are means over seeds, lines Student-t 95 % intervals over seeds (over images where no seed moves the "
        "number), pale lines over seeds and images together (with few seeds maybe the shorter: an error over "
        "images is well known). The dashed line is resample, real images that nobody else saw: the floor at this "
        "number of images. Conclude: a model is at best not distinguishable from the floor. Not distinguishable is "
        "not equal: KID at this number of images separates few contestants, and the best model is picked on the "
        "same numbers. Do not trust a model below the floor, do not compare values between nets or with published "
        "ones, and do not reward memoriser: replaying training images scores well here by design."
    ),
    "extrapolation": (
        "Frechet distance against 1/n, both sides subsampled to n images, per feature net: one line per seed, and "
        "at 1/n = 0 the extrapolated distance with its 95 % interval. Shown are fresh real images (dashed: the "
        "floor), the replay of training images, and of each family the model closest at full n through that net, "
        "chosen on the same numbers. Conclude: how much of a distance is bias of n, and whether a model stays "
        "above the floor without it. Do not compare a distance at one n with one at another, nor with one on "
        "another net, and do not trust the extrapolation where the points bend."
    ),
    "diversity": (
        "Precision and density (are samples where real images are?), recall and coverage (are real images where "
        "samples are?) per feature net, against the test split; dots are means over seeds, lines Student-t 95 % "
        "intervals over seeds (over images where no seed moves the number), pale lines over seeds and images "
        "together (with few seeds maybe the shorter: an error over images is well known). The dashed line is "
        "resample, real images that nobody else saw: what is within reach. Conclude: whether a large distance "
        "comes from bad samples or from missing ones. Do not read 1 as the ceiling, for the dashed line is; do not "
        "compare nets, nor numbers of images; density has no upper end, and a few samples in a crowd raise it."
    ),
    "classes": (
        "Coverage of each class of the test split by a model's samples, per feature net, with 95 % half widths; a "
        "bright cell is well covered, and the row of resample is what fresh real images reach. Conclude: which "
        "classes a model neglects. Do not read differences within the half widths, and do not add them up over "
        "classes: each class has few test images, and the least of many cells is small by chance."
    ),
    "ranks": (
        "Ranks of the models on each metric with 95 % rank intervals, over seeds: a bar holds every rank that "
        "paired differences to the other models allow, corrected for their number (Holm). The mark is the rank of "
        "the mean. Conclude: models differ where their bars do not overlap; a bar that starts right of 1 has so "
        "many models proven better. Bars that overlap may still differ, for they answer for all models at once: of "
        "a single pair ask the paired table. With three seeds most bars span most ranks. Do not average ranks over "
        "metrics, and do not read the order of the marks within overlapping bars."
    ),
    "agreement": (
        "Kendall's rank correlation of the models between metrics and feature nets, each turned so that more is "
        "better; the controls made of real images are left out, for they would make any two metrics agree. In "
        "brackets, correlations that are not told from none at 5 % (exact without ties), one by one; among many "
        "cells one in twenty is told by chance. Conclude: whether a conclusion depends on the net. Do not read a "
        "correlation as precise: with ten models |τ| must reach 0.51 to differ from 0 at all, and metrics that "
        "agree can be wrong together."
    ),
    "roc": (
        "Share of outliers found against share of test images flagged, mean over seeds: the best densities on "
        "each set by their negative log-likelihood, and the best trivial baseline in hindsight (dashed). "
        "Conclude: how many false alarms a detection rate costs. A curve below the diagonal ranks outliers as "
        "more typical than test images; it is never flipped. Do not rank models whose curves lie closer than the "
        "paired table's error."
    ),
    "ecdf": (
        "How each density ranks single images: share of images whose -log p, in bits per dimension, lies below a "
        "value, all seeds together; the black line is the test images, the others the outlier sets. A set right of "
        "the black line is found by its likelihood; one left of it is taken for more typical than real test "
        "images; lines that cross or lie on it cannot be told from test images by a threshold. Sets farther off "
        "than three times the spread of the test images are outside the panel. Conclude: on which side a set lies, "
        "and whether all of it or only a part. Do not compare the bits of two panels: some are of masses, some of "
        "densities, and ends that are no more than bounds shift a whole panel."
    ),
    "auroc": (
        "Negative log-likelihood as an outlier score: area under the ROC curve, mean over seeds with a 95 % half "
        "width (Student-t over seeds and DeLong over images, never less than the number of distinct images "
        "allows), models (rows) by outlier sets (columns), beside the trivial baselines, which have no seed. "
        "Orange to purple: from found last to found first. Conclude: where a likelihood adds to what brightness "
        "or compressibility already tell. Do not take the best cell of a column as a method: it was chosen in "
        "hindsight; and never flip a score below 0.5."
    ),
    "scores": (
        "Outlier scores other than plain likelihood, a panel per score: area under the ROC curve, mean over seeds "
        "with a 95 % half width, models (rows) by outlier sets (columns); grey where a model has no such score. "
        "Ratios are to the first model of the ladder, for densities if it is one, else for masses; ensembles and "
        "WAIC are one score of all seeds, with an error over images alone; the number after the @ is the size of "
        "batches judged together, which makes a task easier. Errors count the non-members that typicality and "
        "density of states are told from. Conclude: what a score repairs that plain likelihood gets wrong, model "
        "by model. Do not compare a score of batches with one of single images, and do not pick a score here and "
        "report its area: it was chosen on these outliers."
    ),
    "distances": (
        "Distribution of the distance from samples to their nearest training image, in levels and Euclidean over "
        "pixels, per family, over seeds; the grey area is that of real test images. A curve left of the area is "
        "too close to the training images, a step at 0 are exact copies (memoriser). Conclude: whether and how "
        "often a model lies nearer to its training images than real images do. Do not take a curve on the left "
        "for copying: blurred and dull images are near to everything; and do not take one on the right for "
        "privacy: a mixture of noise and copies lies there too."
    ),
    "membership": (
        "Attacks that guess which images a model was trained on: share of members found against share of "
        "non-members flagged, on logarithmic axes, mean over seeds; a panel per attack, a thin line per model in "
        "the colour of its family, and the two controls. The grey band holds 95 % of attacks that know nothing, "
        "pointwise. Conclude: what a few confident guesses cost; a curve above the band at the left gives single "
        "images away, whatever its area. Do not read a curve that leaves the band at one place among many as a "
        "finding, nor a curve inside it as privacy: another attack may do better."
    ),
    "leakage": (
        "Membership attacks in numbers, one mark per attack: area under the ROC curve, members found at 1 % of "
        "non-members flagged, and the largest ε that an audit refutes, mean over seeds; lines are 95 % intervals "
        "over seeds (over images where no seed moves the number), pale lines over seeds and images together (with "
        "few seeds maybe the shorter: an error over images is well known). The line of a guess is 0.5, 1 % and 0; "
        "a thick bar is the ε that a private fit accounted for. Conclude: an audit's bound below the accounted ε "
        "is consistent with it, one above refutes the accounting. Do not read a bound of 0 as privacy, and do not "
        "take the largest of a model's attacks: each holds by itself, not all together, and a mean over seeds "
        "summarises bounds without being one."
    ),
    "plane": (
        "What one attack, named beforehand, finds out against what samples are good for: area under its ROC curve "
        "(0.5 is a guess) against the accuracy on real test images of a classifier trained on synthetic ones, and "
        "against the Frechet distance; lines are 95 % intervals over seeds, pale lines over seeds and images "
        "together (with few seeds maybe the shorter: an error over images is well known). Conclude: which models "
        "give use without giving members away; fresh real images show what is within reach. Do not call the left "
        "edge private: it is what this attack could not find, and another may."
    ),
    "augmentation": (
        "Accuracy on real test images of classifiers trained on real images and added ones, with Student-t 95 % "
        "intervals over seeds: synthetic images of each model, classical augmentation, as many fresh real images, "
        "and none added. Whatever labels the synthetic images saw the labels of the same real ones alone; of more "
        "than 1000 training images a model saw all, the classifiers 1000 (resample is fresh real images with their "
        "labels). Conclude: whether adding synthetic images helps, and how it compares with free augmentation and "
        "with collecting more; fresh real images are the ceiling. Do not pick the best ratio from this figure and "
        "report its accuracy: it was chosen on the test images; intervals of lines overlap where paired "
        "differences need not, so read the table."
    ),
    "training": (
        "Named terms that each fit recorded, one curve per seed, each panel with its own scale; at most six "
        "terms, in alphabetical order. Conclude: whether a fit settled, drifted or blew up. Do not compare "
        "heights between models: the terms are different quantities. Models without a recorded fit have no panel."
    ),
    "cost": (
        "Counted evaluations of one run in training and scoring (a density, a gradient or a Gibbs sweep of one "
        "image counts one; sampling is not counted) against the lower end of the log-likelihood and against the "
        "Frechet distance; lines are Student-t 95 % intervals over seeds, pale lines over seeds and images "
        "together (with few seeds maybe the shorter: an error over images is well known). Evaluations are counted, "
        "so this figure is the same on every machine; seconds are in cost.csv. Conclude: what the extra work "
        "bought. Do not read it as time: one evaluation of a large network costs more than one of a small one."
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
