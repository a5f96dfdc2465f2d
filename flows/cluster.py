"""A batch on Dask or Ray: one Prefect flow, one task a picture, on whatever machines the cluster has.

The cluster is the one of DASK_ADDRESS or RAY_ADDRESS, or one on this machine with `workers` processes. Its machines need the
same paths: a shared folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from core.errors import EngineError
from flows.runs.outcome import BatchResult, Work
from flows.runs.stages import MakeOptions
from flows.runs.staging import make_request, make_values

_PACKAGES = {"dask": "prefect_dask", "ray": "prefect_ray"}
_ADDRESSES = {"dask": "DASK_ADDRESS", "ray": "RAY_ADDRESS"}


def cluster_runner(name: str) -> Callable[[Work], list[BatchResult]]:
    """What makes runs on a cluster.

    Raises:
        EngineError: the extra `scale` is not installed.
    """
    import importlib.util

    if importlib.util.find_spec(_PACKAGES[name]) is None:
        raise EngineError(f'runner {name} needs packages that are missing: pip install "photone[scale]"')
    return lambda work: _run(name, work)


def _run(name: str, work: Work) -> list[BatchResult]:
    from flows.service.server import running_server

    with running_server() as url:
        work.report(f"tracked at {url.removesuffix('/api')}")
        # Prefect reads its settings on import: only now are they set.
        from prefect import flow, task
        from prefect.logging.handlers import APILogHandler

        one = task(name="picture-to-song", task_run_name="{picture}")(_one)

        @flow(name=f"batch-{name}", task_runner=_task_runner(name, work.workers))
        def batch() -> list[BatchResult]:
            futures = [one.submit(run.picture.name, make_request(run, work.address)) for run in work.runs]
            return [_outcome(run, future) for run, future in zip(work.runs, futures, strict=True)]

        try:
            return batch()
        finally:
            APILogHandler().flush()


def _task_runner(name: str, workers: int) -> Any:
    address = os.environ.get(_ADDRESSES[name])
    if name == "dask":
        from prefect_dask.task_runners import DaskTaskRunner

        local = {"n_workers": workers, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
        return DaskTaskRunner(address=address) if address else DaskTaskRunner(cluster_kwargs=local)
    from prefect_ray import RayTaskRunner

    local = {"num_cpus": workers, "include_dashboard": False, "log_to_driver": False}
    return RayTaskRunner(address=address) if address else RayTaskRunner(init_kwargs=local)


def _one(picture: str, values: dict[str, Any]) -> dict[str, Any]:
    """A picture's whole way, on a machine of the cluster."""
    return make_values(values)


def _outcome(run: MakeOptions, future: Any) -> BatchResult:
    try:
        return BatchResult.from_json(future.result())
    except Exception as error:  # the machine that had it is gone, say
        return BatchResult.of_error(run.picture, error, 0.0)
