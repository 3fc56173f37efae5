# Two commands do everything on a fresh machine with Python >= 3.11: `make serve` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: serve test journeys pictures check tidy bench soak crash budget abuse rates crosstalk proof soak-proof conformance docs engine scenarios soak-faults wheel test-wheel sbom audit bundle bundle-check image clean

# Development tools are a superset, so one environment serves both commands.
$(VENV)/.installed: pyproject.toml requirements-dev.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.runtime: pyproject.toml requirements.lock requirements-fast.lock requirements-build.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r requirements.lock -r requirements-build.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
	  -r requirements-fast.lock || echo "no build of the fast word lookup for this machine: the same findings, slower"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q src
	touch $@

serve: $(VENV)/.runtime
	$(BIN)/signalbox serve $(ARGS)

# In this many processes: half of a test is waiting, so two of them fill two cores.
WORKERS ?= 2
test: $(VENV)/.installed check engine
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

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

# That nothing escapes: ATTEMPTS random ones in one process; and with `proof` broken products and chaos on sockets too.
ATTEMPTS ?= 1000000
SEED ?= $(shell date +%s)
soak-proof: $(VENV)/.installed
	$(BIN)/python -m benchmarks.proof --attempts $(ATTEMPTS) --seed $(SEED) --only inprocess

proof: $(VENV)/.installed
	$(BIN)/python -m benchmarks.proof --attempts $(ATTEMPTS) --seed $(SEED) $(ARGS)

# A real model engine for tests/engine, in an environment of its own. The CPU build of torch where pip finds one, else
# the usual one with the accelerator libraries that it does not import without.
ENGINE := .venv-engine
ENGINE_PIP = $(ENGINE)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes
$(ENGINE)/.installed: requirements-engine.lock requirements-engine-cpu.lock requirements-engine-torch.lock
	test -x $(ENGINE)/bin/python || $(PYTHON) -m venv $(ENGINE)
	$(ENGINE_PIP) -r requirements-engine.lock
	$(ENGINE_PIP) -r requirements-engine-cpu.lock 2>/dev/null || $(ENGINE_PIP) -r requirements-engine-torch.lock
	$(ENGINE)/bin/python -c 'import torch'
	touch $@

engine: $(ENGINE)/.installed

# Claude Code and Codex, each run once through the gateway; needs Node.js and npm. Not part of `make test`.
conformance/node_modules/.installed: conformance/package.json conformance/package-lock.json
	cd conformance && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

conformance: $(VENV)/.installed conformance/node_modules/.installed
	$(BIN)/python -m pytest -c conformance/pytest.ini conformance $(ARGS)

# What people do with the console, in a real Chromium that is installed already (CHROMIUM names it where it is not on the
# path). Not part of `make test`. SCREENSHOTS=DIR keeps a picture of every page.
JOURNEYS := .venv-journeys
$(JOURNEYS)/.installed: requirements-journeys.lock
	test -x $(JOURNEYS)/bin/python || $(PYTHON) -m venv $(JOURNEYS)
	$(JOURNEYS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-journeys.lock
	touch $@

journeys: $(VENV)/.installed $(JOURNEYS)/.installed
	SIGNALBOX_PYTHON=$(abspath $(BIN)/python) $(JOURNEYS)/bin/python -m pytest -c tests/journeys/pytest.ini tests/journeys $(ARGS)

# Every page in every condition, at three widths, in light and dark, to be looked at.
PICTURES := build/pictures
pictures: $(VENV)/.installed $(JOURNEYS)/.installed
	mkdir -p $(PICTURES)
	SCREENSHOTS=$(abspath $(PICTURES)) SIGNALBOX_PYTHON=$(abspath $(BIN)/python) $(JOURNEYS)/bin/python -m pytest \
	  -c tests/journeys/pytest.ini tests/journeys/test_scenes.py -k every_condition $(ARGS)

# A million mixed calls on one process; `make test` runs a slice of it.
REQUESTS ?= 1000000
SEED ?= 1
soak: $(VENV)/.installed
	$(BIN)/python -m benchmarks.soak --requests $(REQUESTS) --seed $(SEED) $(ARGS)

# kill -9 in the middle of 500 calls.
crash: $(VENV)/.installed
	$(BIN)/python -m benchmarks.crash --seed $(SEED) $(ARGS)

# 200 streams over four processes against a hard budget of a dollar; then with the store held for ten seconds.
budget: $(VENV)/.installed
	$(BIN)/python -m benchmarks.budget $(ARGS)
	$(BIN)/python -m benchmarks.budget --pause 10 $(ARGS)

# 10,000 calls over four processes: one killed, the database restarted twice, a tenth of the clients gone.
abuse: $(VENV)/.installed
	$(BIN)/python -m benchmarks.abuse --seed $(SEED) $(ARGS)

# A limit of calls over one, two, four and eight worker processes.
rates: $(VENV)/.installed
	$(BIN)/python -m benchmarks.rates $(ARGS)

# Ten thousand streams, each with a word of its own: none turns up in another.
crosstalk: $(VENV)/.installed
	SIGNALBOX_STREAMS=10000 $(BIN)/python -m pytest tests/security/test_canaries.py -k mix $(ARGS)

# Every fault of a provider × endpoint × streaming × primary and fallback, and the published sixteen at full length.
scenarios: $(VENV)/.installed
	SIGNALBOX_SCENARIOS=all $(BIN)/python -m pytest tests/scenarios $(ARGS)
	$(BIN)/python -m benchmarks.scenarios

# All faults mixed for MINUTES; memory, descriptors and connections come back, the ledger is the bill.
MINUTES ?= 10
soak-faults: $(VENV)/.installed
	$(BIN)/python -m benchmarks.fault_soak --minutes $(MINUTES) --seed $(SEED)

# --- what is shipped ---

# Built from what git tracks, without a network, and looked into. The same commit gives the same bytes.
wheel: $(VENV)/.installed
	$(BIN)/python scripts/build_wheel.py dist

# A slice of the tests against the wheel, in a folder without src/.
test-wheel: $(VENV)/.installed
	$(BIN)/python scripts/try_wheel.py $(ARGS)

# CycloneDX, from the locks.
sbom:
	$(PYTHON) scripts/sbom.py dist/signalbox.cdx.json

# OSV is a folder with OSV's advisories for PyPI. Without it nothing is audited, and this fails and says so.
audit: $(VENV)/.installed
	$(BIN)/python scripts/audit.py $(if $(OSV),--osv $(OSV))

# One archive for machines without a network; bundle-check installs, migrates and asks it with the network taken away,
# and runs tests against the wheel in it: a slice, or with SUITE=tests all of them.
SUITE ?=
bundle: $(VENV)/.installed
	$(BIN)/python scripts/bundle.py dist

BUNDLE_CHECK := build/bundle-check
bundle-check: bundle
	rm -rf $(BUNDLE_CHECK) && mkdir -p $(BUNDLE_CHECK)
	tar -xzf "$$(ls -t dist/signalbox-*.tar.gz | head -1)" -C $(BUNDLE_CHECK)
	sh scripts/offline.sh sh -c 'sh $(BUNDLE_CHECK)/signalbox-bundle/install.sh $(BUNDLE_CHECK)/opt $(BUNDLE_CHECK)/state \
	  && sh $(BUNDLE_CHECK)/signalbox-bundle/smoke.sh $(BUNDLE_CHECK)/opt \
	  && $(BIN)/python scripts/try_wheel.py $(BUNDLE_CHECK)/signalbox-bundle/wheels/signalbox-*.whl $(SUITE)'

IMAGE ?= signalbox:0.1.0
image:
	docker build -f deploy/container/Containerfile -t $(IMAGE) .

clean:
	rm -rf $(VENV) $(ENGINE) $(JOURNEYS) conformance/node_modules .state build dist
