"""Muon: orthogonal steps for convolutions between features, AdamW for all else."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from soda.model.network import build_model
from soda.training.muon import NEWTON_SCHULZ, ROUNDS, Muon, orthogonalise
from soda.training.optim import build_optimizer, learning_rate, set_learning_rate
from tests.support.settings import make_config


@pytest.mark.parametrize("shape", [(16, 40), (40, 16)])
def test_singular_values_come_near_one_and_the_directions_stay(shape):
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    found = orthogonalise(matrices)
    assert torch.linalg.svdvals(found).sub(1).abs().max() < 0.4
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(found.flatten(1), (u @ v).flatten(1)).min() > 0.97
    assert orthogonalise(torch.zeros(1, *shape)).abs().max() == 0


@pytest.mark.parametrize("shape", [(48, 432), (40, 24)])
def test_the_rounds_on_the_square_are_the_rounds_on_the_matrix(shape):
    """Singular values from 1 down to 1e-7, of which the square loses the smaller half in float32."""
    generator, short = torch.Generator().manual_seed(0), min(shape)
    u, v = (torch.linalg.qr(torch.randn(2, side, short, generator=generator).double())[0] for side in shape)
    matrices = u @ torch.diag(torch.logspace(0, -7, short, dtype=torch.float64)) @ v.transpose(1, 2)
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True)
    for _ in range(ROUNDS):
        a, b, c = NEWTON_SCHULZ
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    assert (orthogonalise(matrices) - x).abs().max() < 1e-6
    assert (orthogonalise(matrices.float()) - x).abs().max() < 2e-3 * x.abs().max()


def test_a_matrix_is_stepped_as_torch_steps_it():
    """torch.optim.Muon is the reference; it works in bfloat16, hence the tolerance."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(24, 40, generator=generator)
    ours, theirs = nn.Parameter(weight.clone()), nn.Parameter(weight.clone())
    a = Muon([{"params": [ours], "muon": True, "weight_decay": 0.1}], lr=0.02)
    b = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, momentum=0.95)
    for _ in range(5):
        ours.grad = theirs.grad = torch.randn(24, 40, generator=generator)
        a.step()
        b.step()
    moved = (theirs - weight).norm()
    assert (ours - theirs).norm() < 0.02 * moved


@pytest.fixture
def muon_config():
    return make_config("train.optimizer=muon", "model.channels=16", "model.encoder_width=16")


def test_only_convolutions_between_features_are_stepped_by_it(muon_config):
    model = build_model(muon_config)
    optimizer = build_optimizer(model, muon_config.train)
    by_muon = {id(p) for group in optimizer.param_groups if group["muon"] for p in group["params"]}
    every = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(every) == sorted(id(p) for p in model.parameters())  # each once
    ends = {id(model.encoder.stem[0][0].weight)} | {id(p) for p in model.parameters() if p.ndim != 4}
    assert by_muon and not by_muon & ends


def test_a_run_that_is_taken_up_again_goes_on_as_if_never_stopped(muon_config):
    def gradients(step):
        generator = torch.Generator().manual_seed(step)
        return [torch.randn(p.shape, generator=generator) for p in model.parameters()]

    def advance(network, optimizer, steps):
        for step in steps:
            for weight, gradient in zip(network.parameters(), gradients(step), strict=True):
                weight.grad = gradient
            set_learning_rate(optimizer, learning_rate(muon_config.train, step))
            optimizer.step()

    torch.manual_seed(0)
    model = build_model(muon_config)
    again = copy.deepcopy(model)
    straight, first = build_optimizer(model, muon_config.train), build_optimizer(again, muon_config.train)
    advance(model, straight, range(4))
    advance(again, first, range(2))
    resumed = build_optimizer(again, muon_config.train)
    resumed.load_state_dict(copy.deepcopy(first.state_dict()))
    advance(again, resumed, range(2, 4))
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
