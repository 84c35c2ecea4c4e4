"""The processes of one training run (torchrun). Only this module knows of ranks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from soda.common.checks import one_of
from soda.common.errors import InputError


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
        """Whether the flag is up in any process; all of them learn the same answer."""
        if self.count == 1:
            return flag
        value = torch.tensor([int(flag)], device=self.device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return bool(value.item())

    def share(self, batch_size: int) -> slice:
        """This process's part of a global batch. Raises ValueError when the batch does not divide."""
        if batch_size % self.count:
            raise InputError(f"train.batch_size: {batch_size} cannot be shared equally by {self.count} processes")
        part = batch_size // self.count
        return slice(self.rank * part, (self.rank + 1) * part)

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model with gradients averaged over the processes; BatchNorm sees the whole batch where CUDA allows it."""
        if self.count == 1:
            return model
        if self.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return DistributedDataParallel(model, device_ids=[self.device.index] if self.device.type == "cuda" else None)

    def wait(self) -> None:
        if self.count > 1:
            dist.barrier()


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """auto | cpu | cuda -> the device. Raises ValueError for another name, and when CUDA is asked for and not there."""
    one_of("device", name, ("auto", "cpu", "cuda"))
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("train.device: 'cuda' is not possible; this machine has no CUDA device (auto or cpu would run)")
    if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
        return torch.device("cuda", local_rank)
    return torch.device("cpu")


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the run that torchrun started, or be a run of one."""
    count, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    chosen = choose_device(device, int(os.environ.get("LOCAL_RANK", 0)))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if count > 1:
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(rank, count, chosen)
    finally:
        if count > 1:
            dist.destroy_process_group()
