# make demo    set up, start two simulated cameras and the relay, print a sign-in link
# make test    set up, then every check and every test
# Everything made here stands in .venv/, node_modules/ and demo-data/, all of them ignored by git.

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
# Compiled tests are kept, or each process of a run would compile all of them; one core does while mypy has
# the other.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/pytest
# ARGS may name tests of one kind only: 5 says that the other kind was not asked for.
OR_NONE := || [ $$? -eq 5 ]
RUNTIME := .venv/runtime.stamp
DEV := .venv/dev.stamp
RECORDED := node_modules/onvif/package.json
VENDOR := src/camrelay/web/static/vendor
HLS_JS := $(VENDOR)/hls.light.min.mjs
UV := uv==0.13.9

PIP_INSTALL := .ci/retry $(BIN)/pip install --quiet --disable-pip-version-check
NPM_CI := .ci/retry $(BIN)/npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier
INSTALL_CHECKOUT := $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
COMPILE := $(BIN)/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --upgrade

.PHONY: help demo test coverage lint types lock clean packages-demo packages-test

help:
	@sed -n 's/^# make/make/p' Makefile
	@echo 'make coverage  that every core is run in full by its own tests'
	@echo 'make lint    ruff, check and format'
	@echo 'make types   mypy, strict'
	@echo 'make lock    renew requirements.lock and requirements-dev.lock'
	@echo 'make clean   remove what make made'

demo: $(RUNTIME) $(HLS_JS)
	$(BIN)/camrelay demo $(ARGS)

test: $(DEV) $(HLS_JS) $(RECORDED) lint
	$(PYTEST) --collect-only --quiet >/dev/null & $(BIN)/mypy && wait
	$(PYTEST) --numprocesses 4 --dist worksteal -m 'not alone' $(ARGS) $(OR_NONE)
	$(PYTEST) --numprocesses 2 --dist worksteal -m alone $(ARGS) $(OR_NONE)

coverage: $(DEV)
	$(BIN)/python tests/core_coverage.py

lint: $(DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(DEV)
	$(BIN)/mypy

packages-demo packages-test: packages-%:
	@PYTHON=$(PYTHON) .ci/packages $*

$(BIN)/pip: | packages-demo
	$(PYTHON) -m venv .venv

$(RUNTIME): requirements.lock pyproject.toml | $(BIN)/pip
	.ci/install requirements.lock
	$(INSTALL_CHECKOUT)
	touch $@

# The development lock is the runtime lock and more: after it, `make demo` has nothing left to install.
$(DEV): requirements-dev.lock pyproject.toml | packages-test $(BIN)/pip
	.ci/install requirements-dev.lock
	$(INSTALL_CHECKOUT)
	touch $(RUNTIME) $@

$(HLS_JS): package-lock.json | $(RUNTIME)
	$(NPM_CI) --omit=dev
	mkdir -p $(VENDOR)
	cp node_modules/hls.js/dist/hls.light.min.mjs $@
	cp node_modules/hls.js/LICENSE $(VENDOR)/hls.LICENSE

# Answers of an ONVIF device, which tests play back.
$(RECORDED): package-lock.json | $(HLS_JS)
	$(NPM_CI)
	touch $@

lock: $(DEV)
	$(PIP_INSTALL) $(UV)
	echo $(UV) | $(COMPILE) --output-file .ci/uv.lock -
	$(COMPILE) pyproject.toml --group build --output-file requirements.lock
	$(COMPILE) pyproject.toml --group dev --constraint requirements.lock --output-file requirements-dev.lock
	$(BIN)/npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved

clean:
	rm -rf .venv node_modules $(VENDOR) build dist demo-data
