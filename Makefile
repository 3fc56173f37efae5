# Two commands do everything on a fresh machine with Python >= 3.11: `make serve` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: serve test check tidy bench soak conformance docs engine clean

# Development tools are a superset, so one environment serves both commands.
$(VENV)/.installed: pyproject.toml requirements-dev.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.runtime: pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

serve: $(VENV)/.runtime
	$(BIN)/signalbox serve $(ARGS)

test: $(VENV)/.installed check
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.installed
	$(BIN)/ruff check --output-format concise .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

tidy: $(VENV)/.installed
	$(BIN)/python scripts/tidy.py

docs: $(VENV)/.installed
	$(BIN)/python scripts/reference.py

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks.run $(ARGS)

clean:
	rm -rf $(VENV) .state build dist
