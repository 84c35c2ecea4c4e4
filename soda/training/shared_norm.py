"""BatchNorm over the whole batch of several processes, on CPUs, where torch's SyncBatchNorm does not run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from soda.training.distributed import Processes


class SharedBatchNorm(nn.BatchNorm2d):
    """A BatchNorm that in training sees the images of all processes; it takes over parameters and buffers of a plain one."""

    def __init__(self, plain: nn.BatchNorm2d, team: Processes) -> None:
        super().__init__(plain.num_features, eps=plain.eps, momentum=plain.momentum)
        self.weight, self.bias = plain.weight, plain.bias
        self.running_mean, self.running_var, self.num_batches_tracked = (
            plain.running_mean,
            plain.running_var,
            plain.num_batches_tracked,
        )
        self.team = team
        self.train(plain.training)

    def forward(self, input: Tensor) -> Tensor:  # torch names it so
        """input: (B, C, H, W), B images of this process -> (B, C, H, W)."""
        if not self.training:
            return super().forward(input)
        output, mean, var = _Normalise.apply(input, self.weight, self.bias, self.eps, self.team)
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            count = self.team.count * input.numel() / input.shape[1]
            momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(var * (count / (count - 1)), momentum)
        return output  # type: ignore[no-any-return]


class _Normalise(torch.autograd.Function):
    """Statistics are gathered, so that all processes compute with the same numbers; the sums over pixels are torch's own kernels.

    Gradients of weight and bias are of this process's images: they are averaged with all others.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, team: Processes) -> tuple[Tensor, Tensor, Tensor]:
        mean, var = torch.ops.aten.batch_norm_update_stats(x, None, None, 0.0)  # each (C,), var biased
        means, variances = team.gather(torch.stack((mean, var)).float()).unbind(1)  # each (count, C)
        mean = means.mean(0)
        var = variances.mean(0) + (means - mean).square().mean(0)  # of parts of equal size
        ctx.save_for_backward(x, weight, mean, var)
        ctx.eps, ctx.team = eps, team
        output = torch.native_batch_norm(x, weight, bias, mean, var, False, 0.0, eps)[0]
        ctx.mark_non_differentiable(mean, var)
        return output, mean, var

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, mean, var = ctx.saved_tensors
        team: Processes = ctx.team
        # With the statistics taken as given: dx, the sum of dy times x normalised, the sum of dy.
        through, d_weight, d_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0], x, weight, mean, var, None, None, False, ctx.eps, [True, True, True]
        )
        # The rest of dx: what each image does to the statistics of all.
        by_scale, by_shift = team.gather(torch.stack((d_weight, d_bias))).mean(0) / (x.numel() / x.shape[1])
        inverse = (var + ctx.eps).rsqrt()
        slope = -weight * inverse.square() * by_scale
        constant = -weight * inverse * by_shift - slope * mean
        rest = torch.addcmul(constant.to(x.dtype)[:, None, None], x, slope.to(x.dtype)[:, None, None])
        return through.add_(rest), d_weight, d_bias, None, None


def share_statistics(model: nn.Module, team: Processes) -> None:
    """Replace every BatchNorm of `model`, in place, by one that sees the images of all processes; nothing where there is one."""
    if team.count == 1:
        return
    if team.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d) and not isinstance(child, SharedBatchNorm):
                setattr(parent, name, SharedBatchNorm(child, team))
