"""The processes of one training run. Only this module knows of ranks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from soda.common.checks import one_of
from soda.common.errors import InputError, SodaError

T = TypeVar("T")
PATIENCE = timedelta(minutes=10)
"""How long a process waits for another one in a step before it takes it for lost; the end of one is noticed at once."""


class LostProcessError(SodaError, RuntimeError):
    """Another process of the run is gone, or does not answer."""


class LeadError(SodaError, RuntimeError):
    """What the leading process could not do, as the others hear of it."""


@dataclass(frozen=True)
class Rendezvous:
    """How a process of a run that was started here finds the others; under torchrun the environment says it."""

    rank: int
    count: int
    store: dist.Store


@dataclass(frozen=True)
class Processes:
    """This process among its fellows, and the device it works on."""

    rank: int
    count: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process; all of them learn the same answer. Raises LostProcessError."""
        if self.count == 1:
            return flag
        value = torch.tensor([int(flag)], device=self.device)
        with _among_fellows():
            dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return bool(value.item())

    def share(self, batch_size: int) -> slice:
        """This process's part of a global batch. Raises ValueError when the batch does not divide."""
        if batch_size % self.count:
            raise InputError(f"train.batch_size: {batch_size} cannot be shared equally by {self.count} processes")
        part = batch_size // self.count
        return slice(self.rank * part, (self.rank + 1) * part)

    def wrap(self, model: nn.Module) -> nn.Module:
        """What to call in the model's place, so that after `average` its gradients are those of the whole batch.

        On CPUs that is the model, whose gradients are summed once after the backward pass: there is no idle core to overlap it
        with. On GPUs it is DistributedDataParallel.
        """
        if self.count == 1 or self.device.type == "cpu":
            return model
        return DistributedDataParallel(model, device_ids=[self.device.index])

    def average(self, parameters: list[nn.Parameter], loss: Tensor) -> Tensor:
        """Average gradients in place, where `wrap` did not, and the loss, which is returned, over the processes: one sum of all.

        Raises LostProcessError; the parameters' values are then as they were.
        """
        if self.count == 1:
            return loss
        mine = [p for p in parameters if p.grad is not None] if self.device.type == "cpu" else []
        gradients = [p.grad for p in mine if p.grad is not None]
        flat = torch.empty(1 + sum(g.numel() for g in gradients), device=self.device)
        parts = flat[1:].split([g.numel() for g in gradients])
        views = [part.as_strided(g.shape, g.stride(), part.storage_offset()) for part, g in zip(parts, gradients, strict=True)]
        flat[0] = loss
        if gradients:
            torch._foreach_copy_(views, gradients)
        with _among_fellows():
            dist.all_reduce(flat)
        flat /= self.count
        for parameter, view in zip(mine, views, strict=True):
            parameter.grad = view
        return flat[0].clone()

    def gather(self, tensor: Tensor) -> Tensor:
        """A tensor of each process, the same shape (...) in all: (count, ...), in the order of ranks. Raises LostProcessError."""
        found = [torch.empty_like(tensor) for _ in range(self.count)]
        with _among_fellows():
            dist.all_gather(found, tensor)
        return torch.stack(found)

    def from_lead(self, work: Callable[[], T]) -> T:
        """What `work` returns, done by the leading process alone and known to all of them.

        Raises what `work` raises where it is done, LeadError elsewhere, and LostProcessError.
        """
        if self.count == 1:
            return work()
        box: list[Any] = [None, None]
        failed: SodaError | None = None
        if self.leads:
            try:
                box[0] = work()
            except SodaError as error:
                failed, box[1] = error, str(error)
        with _among_fellows():
            dist.broadcast_object_list(box, src=0, device=self.device)
        if box[1] is not None:
            raise failed or LeadError(box[1])
        return box[0]  # type: ignore[no-any-return]

    def wait(self) -> None:
        if self.count > 1:
            with _among_fellows():
                dist.barrier()


ALONE = Processes(0, 1, torch.device("cpu"))
"""A run of one process; where a device matters, it is the batch's."""


@contextmanager
def _among_fellows() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # gloo's and NCCL's own kinds are RuntimeErrors, a closed connection is a plain one
        raise LostProcessError(f"a process of this run is gone ({str(error).splitlines()[0]})") from error


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """auto | cpu | cuda -> the device. Raises ValueError for another name, and when CUDA is asked for and not there."""
    one_of("device", name, ("auto", "cpu", "cuda"))
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("train.device: 'cuda' is not possible; this machine has no CUDA device (auto or cpu would run)")
    if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
        return torch.device("cuda", local_rank)
    return torch.device("cpu")


@contextmanager
def processes(device: str, meeting: Rendezvous | None = None) -> Iterator[Processes]:
    """Join the run that `meeting` or torchrun's environment tells of, or be a run of one. Raises LostProcessError."""
    if meeting:
        count, rank, local_rank = meeting.count, meeting.rank, meeting.rank
    else:
        count, rank, local_rank = (
            int(os.environ.get(*each)) for each in (("WORLD_SIZE", "1"), ("RANK", "0"), ("LOCAL_RANK", "0"))
        )
    chosen = choose_device(device, local_rank)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if count > 1:
        backend = "nccl" if chosen.type == "cuda" else "gloo"
        with _among_fellows():
            if meeting:
                dist.init_process_group(backend, store=meeting.store, rank=rank, world_size=count, timeout=PATIENCE)
            else:
                dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield Processes(rank, count, chosen)
    finally:
        if count > 1:
            dist.destroy_process_group()
