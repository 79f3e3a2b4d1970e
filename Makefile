# The two to remember: `make demo` and `make test`. Everything bootstraps itself from Python 3.11, Node 20 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 2
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo check fix test soak bench docs locks clean environment front-end

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

environment: $(VENV)/.ready ## the Python environment, by hash-checked locks

$(VENV)/.ready: requirements.lock requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Huitong needs Python 3.11 or newer; '$(PYTHON)' is older. Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

front-end: node_modules/.ready ## style sheets and scripts of the pages, from npm

node_modules/.ready: package.json package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing; on Debian: apt-get install nodejs npm (Node 20 or newer)"; exit 2; }
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

demo: $(VENV)/.ready node_modules/.ready ## a province in three minutes, then its pages on 127.0.0.1:8000
	$(BIN)/huitong demo

check: $(VENV)/.ready node_modules/.ready ## lint, types, contracts, fast tests (under 2 minutes)
	@failed=; \
	step() { printf '%-32s' "$$1"; shift; if output=$$("$$@" 2>&1); then echo ok; else echo FAILED; echo "$$output"; failed=1; fi; }; \
	step "ruff" $(BIN)/ruff check src tests bench; \
	step "mypy" $(BIN)/mypy; \
	step "import contracts" $(BIN)/lint-imports; \
	step "djlint" $(BIN)/djlint --check --lint --quiet src/huitong/portal/pages/templates; \
	step "migrations are complete" env HUITONG_HOME=$$(mktemp -d) $(BIN)/python -m huitong.portal makemigrations --check --dry-run; \
	$(BIN)/pytest -q -n $(WORKERS) -m "not slow and not browser and not postgresql" || failed=1; \
	test -z "$$failed"

fix: $(VENV)/.ready ## let ruff and djlint mend what they can
	-$(BIN)/ruff check --fix src tests bench
	-$(BIN)/djlint --reformat --quiet src/huitong/portal/pages/templates

test: $(VENV)/.ready node_modules/.ready ## every test, on SQLite and PostgreSQL and in a real browser (under 15 minutes)
	@$(BIN)/python tests/system_packages.py
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile

soak: $(VENV)/.ready node_modules/.ready ## the heavy kinds with full counts (under 60 minutes)
	@$(BIN)/python tests/system_packages.py
	HUITONG_SOAK=1 $(BIN)/pytest -q -n $(WORKERS) --dist loadfile tests/property tests/security tests/engines tests/unit tests/api tests/cli/test_revocation_in_every_process.py tests/portal/backing

bench: $(VENV)/.ready ## every benchmark, as ratios of one run; JSON in bench/results
	$(BIN)/python -m bench

docs: $(VENV)/.ready ## the generated reference pages
	$(BIN)/python docs/generate.py

locks: ## the hash-checked locks, made anew with uv
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --group dev -o requirements-dev.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -c requirements-dev.lock -o requirements.lock pyproject.toml

clean: ## remove the environment and caches, never an instance
	rm -rf $(VENV) node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
