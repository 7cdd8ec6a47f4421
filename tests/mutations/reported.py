"""Named defects of models and of the report; `defects.py` says what each field is."""

REPORTED: list[tuple[str, str, str, str, tuple[str, ...]]] = [
    (
        "levels counted with the stride of pixels",
        "gm/densities/copula.py",
        "self.levels * torch.arange(self.dim, device=x.device)",
        "self.dim * torch.arange(self.dim, device=x.device)",
        ("tests/densities/test_copula.py",),
    ),
    (
        "classes equally frequent",
        "gm/models/class_ppca.py",
        "self.log_weight = (count.double() / count.sum()).log()",
        "self.log_weight = (0 * count.double() + 1 / len(count)).log()",
        ("tests/models/test_class_ppca.py",),
    ),
    (
        "noise of the dequantisation left out of a Gaussian",
        "gm/densities/ppca.py",
        "covariance.diagonal().add_(1 / 12)",
        "covariance.diagonal().add_(0.0)",
        ("tests/models/test_controls.py",),
    ),
    (
        "sign of a flow's log scale",
        "gm/models/flow.py",
        "torch.exp(-log_scale)) - log_scale.sum(1)",
        "torch.exp(-log_scale)) + log_scale.sum(1)",
        ("tests/models/test_flow.py",),
    ),
    (
        "score of the reference instead of the model",
        "gm/densities/tilted.py",
        "path.gradient(path.init(w), 1.0)",
        "path.gradient(path.init(w), 0.0)",
        ("tests/densities/test_tilted.py",),
    ),
    (
        "annealed draws picked without their weights",
        "gm/densities/tilted.py",
        "systematic(log_w[None], n",
        "systematic(0 * log_w[None], n",
        ("tests/densities/test_tilted.py",),
    ),
    (
        "expectation-maximisation stopped early",
        "gm/models/mixture.py",
        "if (r - before).abs().max() < FIXED",
        "if (r - before).abs().max() < 0.1",
        ("tests/models/test_controls.py",),
    ),
    (
        "share of members found at or above the threshold",
        "gm/table/curves.py",
        "(member > thresholds[",
        "(member >= thresholds[",
        ("tests/test_table_panels.py",),
    ),
    (
        "alarms of many attacks, uncorrected",
        "gm/table/checks.py",
        "holm(raw), strict",
        "raw, strict",
        ("tests/test_table_panels.py",),
    ),
    (
        "a real image among a confidential grid's samples",
        "gm/stages/panels.py",
        ".tobytes() not in real for image in x]",
        ".tobytes() is not None for image in x]",
        ("tests/figures/test_report.py",),
    ),
]
