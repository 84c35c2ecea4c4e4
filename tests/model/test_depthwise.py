"""The backward pass of depthwise convolutions on small maps, against PyTorch's own."""

import pytest
import torch
import torch.nn.functional as F

from soda.model.depthwise import pays, small_depthwise
from soda.model.lite import SameConv2d


@pytest.mark.parametrize(("height", "width", "kernel"), [(4, 4, 5), (2, 2, 5), (1, 1, 5), (3, 6, 5), (4, 4, 3)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_same_values_and_gradients(height: int, width: int, kernel: int, memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 8, height, width).to(memory_format=memory_format).requires_grad_()
    weight = torch.randn(8, 1, kernel, kernel, requires_grad=True)
    theirs = F.conv2d(x, weight, None, 1, kernel // 2, 1, 8)
    ours = small_depthwise(x, weight)
    assert torch.equal(ours, theirs)
    grad = torch.randn_like(theirs)
    for mine, torchs in zip(
        torch.autograd.grad(ours, (x, weight), grad), torch.autograd.grad(theirs, (x, weight), grad), strict=True
    ):
        torch.testing.assert_close(mine, torchs, rtol=1e-4, atol=1e-5)


def test_only_where_it_pays() -> None:
    layer = SameConv2d(8, 8, 5, groups=8, bias=False)
    small, large = torch.randn(2, 8, 4, 4), torch.randn(2, 8, 16, 16)
    assert pays(small, layer.weight) and not pays(large, layer.weight)
    assert layer(small).grad_fn.name() == "_SmallDepthwiseBackward" and "Convolution" in layer(large).grad_fn.name()
    with torch.no_grad():
        assert not pays(small, layer.weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not pays(small, layer.weight)
    assert not pays(small, layer.weight.detach())
