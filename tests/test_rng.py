"""Streams are named; a row's noise belongs to the row."""

import torch

from gm import rng


def test_streams_do_not_touch_each_other():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = torch.randn(5, generator=rng.stream(3, "train"))
    torch.randn(100, generator=rng.stream(3, "sample"))
    assert torch.equal(first, torch.randn(5, generator=rng.stream(3, "train")))
    assert torch.equal(before, torch.random.get_rng_state()), "the global state is nobody's"


def test_names_do_not_run_together():
    assert rng.seed_of(1, "12") != rng.seed_of(11, "2")


def test_a_rows_noise_does_not_depend_on_its_batch():
    y = torch.randn(6, 1, 2, 2)
    whole = [torch.randn(3, generator=g) for g in rng.row_streams(y, generator=rng.stream(0, "score"))]
    some = [torch.randn(3, generator=g) for g in rng.row_streams(y[[4, 1]], generator=rng.stream(0, "score"))]
    assert torch.equal(whole[4], some[0]) and torch.equal(whole[1], some[1])
    assert not torch.equal(whole[0], whole[1])
