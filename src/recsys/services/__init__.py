"""The local services, all on 127.0.0.1: start, watch and stop them, and follow a night.

Airflow (web UI and API, scheduler, DAG processor), MLflow's UI and the Seldon microservice
run as processes of their own, outlive the command that started them, and are known by a
process file each. The keeper starts again what dies or hangs; HAProxy, where it is asked for, lets
another code come into service without a pause.
"""

from recsys.services.airflow_api import AirflowClient, NightRun, TaskRun
from recsys.services.control import Progress, ServiceStatus
from recsys.services.definitions import Service, local_services
from recsys.services.environment import airflow_environment, airflow_login
from recsys.services.local import start_all, start_serving, status, stop_all
from recsys.services.swap import Swap, swap

__all__ = [
    "AirflowClient",
    "NightRun",
    "Progress",
    "Service",
    "ServiceStatus",
    "Swap",
    "TaskRun",
    "airflow_environment",
    "airflow_login",
    "local_services",
    "start_all",
    "start_serving",
    "status",
    "stop_all",
    "swap",
]
