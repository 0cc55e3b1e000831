# Every target sets up what it needs: `make demo` is enough on a machine with Python 3.11+ and pip.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test check format bench docs wheel wheelhouse sbom clean

demo: $(READY)
	$(BIN)/thinfer demo

test: $(READY)
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadgroup $(ARGS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python -m benchmarks.run $(ARGS)

docs: $(READY)
	$(BIN)/python docs/build.py site

wheel: $(READY)
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

# All that serving needs, for this platform and this Python, to install from where there is no network.
wheelhouse: $(READY)
	rm -rf dist/wheelhouse
	$(BIN)/python -m pip wheel --wheel-dir dist/wheelhouse .
	$(BIN)/python deploy/check_wheelhouse.py dist/wheelhouse

# What the wheelhouse installs, as CycloneDX, and under which licences; the tools live apart from it.
sbom: wheelhouse
	$(BIN)/python -m venv --clear --without-pip build/serve
	$(BIN)/python -m pip --python build/serve/bin/python install -q --no-index --find-links dist/wheelhouse thinfer
	$(BIN)/python -m venv --clear --without-pip build/ops
	$(BIN)/python -m pip --python build/ops/bin/python install -q -r deploy/requirements-ops.txt
	build/ops/bin/cyclonedx-py environment --output-reproducible --of JSON -o dist/sbom.cdx.json build/serve/bin/python
	build/ops/bin/pip-licenses --python build/serve/bin/python --with-urls --format=json --output-file=dist/licences.json

clean:
	rm -rf .venv site dist demo demo.work

# Debian splits `venv` from its seed pip; then the outer pip brings one into the environment.
$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "thinfer needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv || { \
	  $(PYTHON) -m venv --clear --without-pip .venv && $(PYTHON) -m pip --python $(BIN)/python install pip; }
	$(BIN)/python -m pip install --disable-pip-version-check -e ".[compress,openvino,otel,test]"
	touch $@
