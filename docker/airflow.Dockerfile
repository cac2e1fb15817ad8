# Airflow's components and MLflow's server, for docker-compose.airflow.yml.
# Build from the project's root: docker build -f docker/airflow.Dockerfile -t recsys-airflow:0.1.0 .
FROM python:3.11.13-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app
# Bytecode is compiled on install: without it Great Expectations takes 14 s to import, not 5.
COPY locks/cluster.txt locks/
RUN pip install --require-hashes --no-deps -r locks/cluster.txt

# The same user number as in the Seldon image, because both write to the shared state.
RUN useradd --uid 8888 --create-home recsys \
    && mkdir /state /airflow \
    && chown recsys /state /airflow

# Not installed but on the path: suites and DAGs are found beside the source.
COPY pyproject.toml README.md ./
COPY expectations expectations
COPY src src
COPY plugins plugins
COPY dags dags
RUN python -m compileall -q src plugins

ENV PYTHONPATH=/app/src:/app/plugins \
    AIRFLOW_HOME=/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/app/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/app/plugins \
    RECSYS_STATE_DIR=/state \
    RECSYS_SHADOW=false \
    RECSYS_EXPECTATIONS_DIR=/app/expectations

USER recsys
VOLUME ["/state", "/airflow"]
ENTRYPOINT ["airflow"]
CMD ["version"]
