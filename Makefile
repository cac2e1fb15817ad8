# Everything a person types. Needs make, Python 3.11 and the package registry; the rest is
# brought from the locks, which hold the SHA-256 of every file that is installed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help up down status test check env lock

UV := PYTHONPATH=.tools .tools/bin/uv
RUN := .venv/bin

help: ## This list
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 16

up: env ## Start everything and run the first night; CATALOG=path for a catalog of your own
	@$(RUN)/recsys up $(if $(CATALOG),--catalog "$(CATALOG)")

down: ## Stop exactly what `make up` started
	@if [ -x $(RUN)/recsys ]; then $(RUN)/recsys down; else echo "Nothing was ever started here."; fi

status: env ## What runs, and which release is live
	@$(RUN)/recsys status

test: env ## Every test, two at a time; ARGS="tests/dags -k assets" for some of them
	@$(RUN)/python -m pytest -n 2 --no-loadscope-reorder $(ARGS)

check: env ## Style, types and floors
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/mypy
	@PYTHONPATH=plugins $(RUN)/lint-imports

env: ## The two environments, .venv (platform) and .venv-serving (Seldon)
	@$(call environment,.venv,platform)
	@$(call environment,.venv-serving,serving)

# Python 3.11 exactly: the serving stack ends there, and one project has one Python.
define find_python
	python=""; \
	for name in python3 python3.11; do \
		if "$$name" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then \
			python=$$("$$name" -c 'import sys; print(sys.executable)'); break; \
		fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Python 3.11 is needed; python3 is $$(python3 --version 2>&1 || true)," \
			"and there is no python3.11 on PATH. Install Python 3.11 and call make again." >&2; \
		exit 2; \
	fi
endef

# pip itself may be barred from the system (PEP 668) or without ensurepip; --target is not.
define bootstrap
	tools=$$(sha256sum < locks/bootstrap.txt); \
	if [ "$$(cat .tools/ready 2>/dev/null)" != "$$tools" ]; then \
		echo "Bringing uv …"; \
		if ! "$$python" -m pip --version > /dev/null 2>&1; then \
			echo "$$python has no pip: install it (on Debian: python3-pip)." >&2; exit 2; \
		fi; \
		rm -rf .tools; \
		PIP_ROOT_USER_ACTION=ignore "$$python" -m pip install --quiet --no-deps \
			--disable-pip-version-check --require-hashes --target .tools \
			-r locks/bootstrap.txt; \
		echo "$$tools" > .tools/ready; \
	fi
endef

# $(1) folder, $(2) lock. `ready` is written last and holds what the environment was made
# of. None: it was never finished, so it is made anew. Another: the lock changed, so it is
# brought to the lock in place.
define environment
	wanted=$$( (pwd; cat locks/$(2).txt pyproject.toml) | sha256sum); \
	if [ "$$(cat $(1)/ready 2>/dev/null)" = "$$wanted" ]; then exit 0; fi; \
	begun=$$SECONDS; \
	$(find_python); \
	$(bootstrap); \
	if [ -e $(1)/ready ] && $(1)/bin/python -c ''; then rm $(1)/ready; else \
		echo "Making $(1) …"; \
		$(UV) venv --quiet --clear --python "$$python" $(1); \
	fi; \
	echo "Installing locks/$(2).txt into $(1) (minutes, when nothing is cached) …"; \
	$(UV) pip sync --quiet --python $(1) --require-hashes --compile-bytecode locks/$(2).txt; \
	$(UV) pip install --quiet --python $(1) --no-deps --no-build-isolation -e .; \
	echo "$$wanted" > $(1)/ready; \
	echo "$(1) is ready ($$((SECONDS - begun)) s)."
endef

# Old pins stay where they still fit; remove a lock first to let everything move.
COMPILE = $(UV) pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url

lock: ## Write the locks anew from pyproject.toml
	@$(find_python); $(bootstrap)
	$(COMPILE) pyproject.toml --extra platform --group dev -o locks/platform.txt
	$(COMPILE) pyproject.toml --extra serving -o locks/serving.txt
	$(COMPILE) pyproject.toml --extra platform --extra cluster -o locks/cluster.txt
