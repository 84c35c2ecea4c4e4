# Everything is made by what needs it: `make pipeline` alone is enough on a fresh machine.
.DEFAULT_GOAL := help
.PHONY: help setup dist pipeline embed test test-oldest lint bench chaos ablations architecture server worker deploy tidy days sbom hashes audit web browser-tools system-tools clean

PYTHON ?=# the Python that makes .venv; empty: the first of 3.11 or newer that is found
OVERRIDES ?=# settings, e.g. OVERRIDES="experiment=avatars train=quick"
FROM ?=# leave the stages before this one as they are
FORCE ?=# 1: run stages that are up to date, too
PORT ?=# of `make server`; empty: 4200 or the next free one
MODEL ?= zoo/fashion_mnist# the model that `make web` puts into the page
ARGS ?=# further arguments of pytest and of the benchmarks

# Programs installed in .venv come first; Prefect's database is the project's own; nothing reports home.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export OVERRIDES
export PREFECT_HOME := $(CURDIR)/.prefect
export PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS := 120
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := false
# Prefect's server is on this machine: no proxy on the way to it.
export NO_PROXY := $(if $(NO_PROXY),$(NO_PROXY),$(no_proxy)),127.0.0.1,localhost
export no_proxy := $(NO_PROXY)

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  make pipeline OVERRIDES="dataset=folder dataset.path=/home/me/pictures"   your own pictures'
	@echo '  make pipeline OVERRIDES="experiment=fashion_mnist_long"                   at most two hours instead of ten minutes'
	@echo '  make pipeline FROM=evaluate FORCE=1                                       the last stages once more'

setup: .venv/.installed ## The environment in .venv (the other targets make it too)

.venv/.installed: pyproject.toml constraints.txt
	@python=; \
	for candidate in $(PYTHON) python3.11 python3 python3.12 python3.13 python3.14; do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "make: no Python of 3.11 or newer found; install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi; \
	if [ ! -x .venv/bin/pip ]; then \
		"$$python" -m venv .venv || { echo "make: $$python cannot make .venv; Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	fi
	@echo "installing into .venv: about 5 minutes and 6.5 GB the first time (log: .venv/install.log)"
	@.venv/bin/python -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e '.[all]' \
		> .venv/install.log 2>&1 || { tail -n 40 .venv/install.log >&2; echo "make: the installation failed; all of it: .venv/install.log" >&2; exit 1; }
	@touch $@

pipeline: setup ## Raw pictures to encoder.onnx and reports/index.html
	@python -m flows.pipeline --overrides "$$OVERRIDES" $(if $(FROM),--from-stage $(FROM)) $(if $(FORCE),--force)

embed: setup ## A folder, or tars, to a table of vectors, over many workers: ARGS="photos --engine dask --workers 4"
	@python -m flows.embed $(ARGS)

lint: setup ## ruff, mypy and the layers of the architecture
	@ruff check soda flows tests benchmarks examples apps docs
	@ruff format --check soda flows tests benchmarks examples apps docs
	@mypy
	@lint-imports

test: lint browser-tools system-tools ## All tests, after lint
	@python -m pytest -q $(or $(ARGS),-n 2 --dist loadfile)

test-oldest: ## The runtime's tests with the oldest and the newest base install that pyproject.toml allows, and a flow beside FastAPI
	@$(if $(PYTHON),$(PYTHON),python3.11) tests/support/allowed_versions.py $(ARGS)

dist: setup ## Wheel and sdist of the package in dist/, to be installed anywhere: docs/your-own-images.md
	@rm -rf build dist && python -c "from setuptools import build_meta as b; print('dist/' + b.build_sdist('dist')); print('dist/' + b.build_wheel('dist'))" | grep ^dist/

bench: setup browser-tools system-tools ## Speed and memory on this machine
	@python -m benchmarks $(ARGS)

chaos: setup ## Kills, full disks and other misfortunes on micro runs, an hour at most: docs/operations.md (ARGS="--minutes 20 --seed 2")
	@python -m benchmarks.chaos $(ARGS)

ablations: setup ## The paper's claims, decided by runs (hours; stop and repeat as you like): docs/ablations.md
	@python -m benchmarks.claims $(ARGS)

architecture: setup ## Draw docs/images/architecture.png from the imports
	@python docs/architecture.py

server: setup ## Prefect's server and pages on http://127.0.0.1:4200 (PORT; else the next free one)
	@python -m flows.server start $(PORT)

worker: setup ## A worker that carries out deployment runs on this machine, for this project's server
	@python -m flows.worker local

deploy: setup ## Register the pipeline with this project's server
	@settings=$$(python -m flows.server env) && eval "$$settings" && \
	python -m flows.pool && prefect --no-prompt deploy --all

tidy: setup ## What nobody needs any more: old runs, artifacts (ARGS="--days 30 --cache --delete"; without --delete a list)
	@python -m flows.tidy $(ARGS)

days: setup ## Two hundred days of a pipeline that runs by itself, in .prefect/days (an hour; stop and repeat as you like)
	@python -m benchmarks.days --folder .prefect/days $(ARGS)

hashes: setup ## The versions of constraints.txt with their hashes, for this system and Python: deploy/requirements-….txt
	@python deploy/hashes.py $(ARGS)

sbom: setup ## What is installed here for soda, with licences: sbom.cdx.json (CycloneDX)
	@python -m soda sbom $(ARGS)

audit: ## Known vulnerabilities of what constraints.txt names; asks pypi.org, and installs pip-audit into .venv-audit
	@python3 deploy/hashes.py --check
	@test -x .venv-audit/bin/pip-audit || { python3 -m venv .venv-audit && .venv-audit/bin/python -m pip install --quiet pip-audit; }
	@.venv-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip $(ARGS)

web: setup browser-tools ## The browser page in apps/web/dist, with MODEL (zoo/fashion_mnist) inside
	@python apps/web/bundle_model.py $(MODEL)
	@rm -f $(WEB)/dist/.built
	@$(MAKE) --no-print-directory $(WEB)/dist/.built
	@echo "apps/web/dist is the page; to look at it: python -m http.server -d apps/web/dist --bind 127.0.0.1 8080"

# Packages and page are made again when what they are made of changed.
WEB := apps/web
NPM_CI := npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

$(WEB)/node_modules/.installed: $(WEB)/package.json $(WEB)/package-lock.json
	@cd $(WEB) && $(NPM_CI) > /dev/null
	@touch $@

$(WEB)/dist/.built: $(WEB)/node_modules/.installed $(WEB)/index.html $(WEB)/vite.config.ts $(WEB)/tsconfig.json $(wildcard $(WEB)/src/*)
	@cd $(WEB) && npm run --silent build -- --logLevel warn
	@touch $@

examples/node/node_modules/.installed: examples/node/package.json examples/node/package-lock.json
	@cd examples/node && $(NPM_CI) > /dev/null
	@touch $@

browser-tools:
	@apps/web/tools.sh

# What dataset=furniture is drawn on, for its tests. Its fetch says what to install; nobody else needs it.
EGL := libegl1 libgl1-mesa-dri
system-tools:
	@PATH="$$PATH:/usr/sbin:/sbin"; if ! ldconfig -p 2> /dev/null | grep -q libEGL_mesa; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
			echo "installing $(EGL): the tests of dataset=furniture draw on them"; \
			apt-get update > /dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y $(EGL) > /dev/null \
				|| echo "they could not be installed: these tests are skipped"; \
		else echo "the tests of dataset=furniture are skipped; they draw on OpenGL: sudo apt install $(EGL)"; fi; \
	fi

clean: ## Caches; data, models, reports, unfinished training (runs/) and .venv stay
	@rm -rf build *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
	@find soda flows tests benchmarks apps -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
