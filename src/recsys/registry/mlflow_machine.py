"""What the machine did during a run: MLflow's own monitor, and our process beside it.

Importing this module loads MLflow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

_MEGABYTE = 1e6


class ProcessMonitor(BaseMetricsMonitor):
    """Processor (percent of one core) and resident memory of this process."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call has nothing to compare with

    def collect_metrics(self) -> None:
        """Take one sample."""
        self._metrics["process_cpu_percentage"].append(self._process.cpu_percent())
        resident = self._process.memory_info().rss / _MEGABYTE
        self._metrics["process_memory_megabytes"].append(resident)

    def aggregate_metrics(self) -> dict[str, float]:
        """The mean of the samples."""
        return {name: round(sum(all_) / len(all_), 1) for name, all_ in self._metrics.items()}


@contextmanager
def machine_figures(run_id: str, uri: str, sample_seconds: float) -> Iterator[None]:
    """Log the machine's figures to a run from a thread, while the block lasts; 0: do not."""
    if not sample_seconds:
        yield
        return
    monitor: Any = SystemMetricsMonitor(  # type: ignore[no-untyped-call]
        run_id, sampling_interval=sample_seconds, tracking_uri=uri
    )
    monitor.monitors.append(ProcessMonitor())
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
