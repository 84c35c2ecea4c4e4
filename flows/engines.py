"""What carries out the tasks of a run when one process is not enough: Prefect's task runners on Dask or on Ray.

Each brings a cluster of its own on this machine, or joins one that is there, by the address of its scheduler.
"""

from __future__ import annotations

import logging
from typing import Any, Literal

from prefect.task_runners import TaskRunner

from soda.common.checks import whole_number
from soda.common.errors import InputError, NotInstalledError

Engine = Literal["threads", "dask", "ray"]
THREADS: Engine = "threads"
DEATHS = 3
"""Workers that one task may lose (killed, out of memory) before it counts as the one that kills them."""


def runner_of(engine: Engine, workers: int, address: str = "") -> TaskRunner[Any]:
    """The task runner of that engine, not started yet.

    Args:
        workers: processes of one thread each, of a cluster on this machine; with an address the cluster has its own.
        address: of a scheduler that is there: tcp://host:8786 of Dask, ray://host:10001 of Ray.

    Raises NotInstalledError with the line that installs it, InputError for no worker at all and for another engine.
    """
    whole_number("workers", workers, 1)
    if engine == "dask":
        return _dask(workers, address)
    if engine == "ray":
        return _ray(workers, address)
    raise InputError(f"engine is {engine!r}, not dask or ray")


def _dask(workers: int, address: str) -> TaskRunner[Any]:
    try:
        import dask
        from prefect_dask import DaskTaskRunner
    except ModuleNotFoundError as error:
        raise NotInstalledError(f"engine=dask needs {error.name}: pip install 'soda-encoder[dask]'", name=error.name) from None
    dask.config.set({"distributed.scheduler.allowed-failures": DEATHS})
    logging.getLogger("distributed").setLevel(logging.WARNING)  # it tells of every connection that is closed
    if address:
        return DaskTaskRunner(address=address)
    # One thread a worker: pictures are decoded and encoded by what holds Python's lock for a good part of the time.
    # security: keys of this cluster alone; without them whoever has an account here could have a worker run a program.
    own = {"n_workers": workers, "threads_per_worker": 1, "processes": True, "security": True}
    return DaskTaskRunner(cluster_kwargs={**own, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"})


def _ray(workers: int, address: str) -> TaskRunner[Any]:
    try:
        from prefect_ray import RayTaskRunner
    except ModuleNotFoundError as error:
        raise NotInstalledError(f"engine=ray needs {error.name}: pip install 'soda-encoder[ray]'", name=error.name) from None
    if address:
        return RayTaskRunner(address=address)
    return RayTaskRunner(init_kwargs={"num_cpus": workers, "include_dashboard": False})
