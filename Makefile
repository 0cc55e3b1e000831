# Every target sets up what it needs: `make demo` is enough on a machine with Python 3.11+ and pip.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test check format bench docs wheel clean

demo: $(READY)
	$(BIN)/thinfer demo

test: $(READY)
	$(BIN)/python -m pytest $(ARGS)

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

clean:
	rm -rf .venv site dist demo demo.work

# Debian splits `venv` from its seed pip; then the outer pip brings one into the environment.
$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "thinfer needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv || { \
	  $(PYTHON) -m venv --clear --without-pip .venv && $(PYTHON) -m pip --python $(BIN)/python install pip; }
	$(BIN)/python -m pip install --disable-pip-version-check -e ".[compress,openvino,test]"
	touch $@
