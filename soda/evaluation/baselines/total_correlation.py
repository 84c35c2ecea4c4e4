"""The term that makes a beta-VAE a beta-TCVAE: Chen et al. 2018, "Isolating sources of disentanglement in VAEs"."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def total_correlation(z: Tensor, mean: Tensor, log_variance: Tensor, points: int) -> Tensor:
    """KL(q(z) || product of q(z_d)), a number, estimated from a batch by minibatch weighted sampling (their appendix C.1).

    z: (B, D) drawn from the Gaussians of mean and log_variance, (B, D) each. points: how many there are in the data set.
    Densities are sums over the batch over B * points, as theirs: a constant, without a gradient, is between this and the truth.
    """
    apart = z[:, None] - mean[None]  # (B, B, D), the j-th Gaussian asked about the i-th z
    log_density = -0.5 * (apart.square() * (-log_variance[None]).exp() + log_variance[None] + math.log(2 * math.pi))
    weight = math.log(len(z) * points)
    joint = torch.logsumexp(log_density.sum(2), 1) - weight  # (B,)
    product = (torch.logsumexp(log_density, 1) - weight).sum(1)
    return (joint - product).mean()
