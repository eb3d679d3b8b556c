# One command each. Everything runs in .venv, made from requirements.lock; nothing is installed outside this folder.
#   make demo    the main job on embedded defaults: emulated tag -> bridge -> broker -> subscriber
#   make test    all that CI runs: lint, types, import contracts, budgets, tests
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test lint types contracts tests bench bench-ci bench-full soak lock format clean install

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tagrig needs Python 3.11 or newer; '$(PYTHON)' is older. Next: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing. Next: install the package python3-venv (Debian: apt install python3-venv)"; exit 2; }
	@echo "==> creating $(VENV) from requirements.lock (once; about a minute)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25' || echo "going on with the pip that is there; a newer one installs in half the time"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

install: $(STAMP) ## create .venv with everything in it

demo: $(STAMP) ## run the main job on embedded defaults
	@$(BIN)/tagrig demo

test: $(STAMP) ## everything CI runs
	@$(MAKE) --no-print-directory --output-sync=target -j2 lint contracts
	@$(MAKE) --no-print-directory bench-ci
	@$(MAKE) --no-print-directory -j2 tests types

lint: $(STAMP)
	@echo "==> lint"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP)
	@echo "==> types"
	@nice $(BIN)/mypy

contracts: $(STAMP)
	@echo "==> import contracts"
	@$(BIN)/lint-imports --no-cache

# Three runs beside each other, about equally long. The first is mostly arithmetic and takes what time the others leave:
# they wait for processes, brokers and links, and their deadlines starve where a core is not to be had.
CORE_TESTS     := tests/geofence_core tests/property tests/protocols tests/meta tests/rig/report tests/rig/pytest_plugin
DELIVERY_TESTS := tests/conformance tests/bridge tests/delivery tests/integration tests/rig/ble tests/rig/bench

tests: $(STAMP)
	@echo "==> tests"
	@nice -n 5 $(BIN)/python -m pytest $(CORE_TESTS) >.pytest-core.log 2>&1 & core=$$!; \
	$(BIN)/python -m pytest $(DELIVERY_TESTS) >.pytest-delivery.log 2>&1 & delivery=$$!; \
	trap 'kill $$core $$delivery 2>/dev/null' INT TERM; \
	$(BIN)/python -m pytest $(addprefix --ignore=,$(CORE_TESTS) $(DELIVERY_TESTS)); rest=$$?; \
	wait $$core; first=$$?; wait $$delivery; second=$$?; cat .pytest-core.log .pytest-delivery.log; \
	test $$rest -eq 0 -a $$first -eq 0 -a $$second -eq 0

bench: $(STAMP) ## latency and throughput against the budgets
	@echo "==> benchmarks"
	@$(BIN)/python -m pytest benchmarks --benchmark-only -q --benchmark-columns=median,iqr,rounds

bench-ci: $(STAMP)
	@echo "==> benchmarks"
	@TAGRIG_BENCH=ci $(BIN)/python -m pytest benchmarks --benchmark-only -q --benchmark-columns=median,iqr,rounds

bench-full: $(STAMP) ## also 10,000 zones and 20,000 wearers; some minutes
	@TAGRIG_BENCH=full $(BIN)/python -m pytest benchmarks --benchmark-only -q --timeout=3600

soak: $(STAMP) ## the long runs: an hour of ten tags at 10 Hz, and more
	@TAGRIG_TESTS=full $(BIN)/python -m pytest -m "soak or long" --timeout=7200 -s

lock: ## rebuild requirements.lock from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra rig --extra broker --extra backtest --extra dask --extra flash --extra esphome --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header -q -o requirements.lock

format: $(STAMP)
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

clean: ## remove .venv and caches
	rm -rf $(VENV) .pytest-core.log .pytest-delivery.log .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
