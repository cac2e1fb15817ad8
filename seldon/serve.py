"""Run the Seldon microservice: ``python seldon/serve.py`` in the serving environment.

The app is Seldon's own. The stock launcher around it would bind to every address, start
gRPC, metrics and manager processes that nobody asks, and wait 5,000 seconds for a stuck
worker; this one serves REST on the loopback address, in the foreground, until SIGTERM.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from typing import Any, Final

from gunicorn.app.base import BaseApplication

from recsys.serving.access import Access
from recsys.settings import Settings, load_settings
from worker import BufferingWorker

_HOST: Final = "127.0.0.1"
# The slowest request, many huge PNGs, takes seconds; a worker beyond this is stuck.
_TIMEOUT_SECONDS: Final = 120
_GRACE_SECONDS: Final = 10


class Microservice(BaseApplication):  # type: ignore[misc]
    """Gunicorn around Seldon's app, which every worker builds and loads for itself."""

    def __init__(self, settings: Settings, max_body_bytes: int, access: Access) -> None:
        self._settings = settings
        self.access = access
        self.max_waiting = settings.max_waiting
        self.max_body_bytes = max_body_bytes
        super().__init__()

    def load_config(self) -> None:
        """Our settings as gunicorn's; nothing is read from the environment or files."""
        options = {
            "bind": f"{_HOST}:{self._settings.seldon_port}",
            "workers": self._settings.serving_workers,
            "worker_class": f"{BufferingWorker.__module__}.{BufferingWorker.__name__}",
            "timeout": _TIMEOUT_SECONDS,
            "graceful_timeout": _GRACE_SECONDS,
            "errorlog": "-",
            "loglevel": "info",
            "proc_name": "recsys-seldon",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Build the app in the worker: threads, maps and the model do not survive a fork."""
        from seldon_core.wrapper import get_rest_microservice

        from Recommender import Recommender
        from shortcut import Shortcut

        component = Recommender()
        app = get_rest_microservice(component, _NoMetrics())
        component.load()
        return Shortcut(app, component, self.access, self.max_body_bytes)


class _NoMetrics:
    """Stands in for Seldon's metrics, whose every update is a call to another process."""

    def update(self, custom_metrics: list[dict[str, Any]], method: str) -> None:
        """Accept the metrics of a component that has none."""

    def update_reward(self, reward: float) -> None:
        """As `update`."""


def main() -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s [%(process)d] %(name)s %(levelname)s: %(message)s",
    )
    # Read by Seldon and OpenMP when they are imported, which is why that happens here:
    # JSON comes and goes through orjson; two workers do not fight over two cores.
    os.environ["PAYLOAD_PASSTHROUGH"] = "true"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import Recommender  # before the fork, so that workers share its pages

    logging.getLogger("seldon_core").setLevel(logging.WARNING)
    settings = load_settings()
    body_bytes, access = Recommender.max_body_bytes(settings), Recommender.access(settings)
    # What is here already is no garbage. The collector, looking all the same, would write on the
    # pages that the workers share, and each have 20 MB of its own by that.
    gc.collect()
    gc.freeze()
    Microservice(settings, body_bytes, access).run()


if __name__ == "__main__":
    main()
