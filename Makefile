# Everything works on a fresh machine with Python 3.11.4 or newer: each target sets up .venv first.
PYTHON ?= python3
BIN := .venv/bin
GPU_BENCHMARKS := deeplabv3 maskrcnn_inference maskrcnn_training sam2_inference sam2_training
# Studies train many models, for an hour or more, and compare with no other implementation: make bench leaves them out.
STUDIES := classifier_transfer
MINUTES ?= 10
KILLS ?= all
MOMENTS ?= 20
# Two test processes with one thread each are faster on two cores than one with two; compiled modules start the
# processes of the tests faster.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

.PHONY: demo test slow kill moments fuzz check format docs bench gpu clean

.venv/installed: pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' 2>/dev/null || { \
		found=$$($(PYTHON) --version 2>/dev/null || echo "not found"); \
		echo "error: $(PYTHON) is $$found; expected Python 3.11.4 or newer." \
			"Hint: name a newer Python, for example: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	SAM2_BUILD_CUDA=0 $(BIN)/pip install --quiet --no-build-isolation 'sam2>=1.1'  # builds against the torch that was just installed
	touch $@

demo: .venv/installed  ## train, evaluate and infer on generated images; metrics are written to runs/demo/summary.json
	$(BIN)/toolkit demo --out runs/demo

test: .venv/installed  ## the test suite
	$(PYTEST) -m 'not slow'

slow: .venv/installed  ## the slow tests that `make test` leaves out, such as the tests for a GPU on a CPU
	$(PYTEST) -m slow

kill: .venv/installed  ## kill training, inference, conversion and export before each change to their folders, and resume them; KILLS=40 limits the changes
	TOOLKIT_KILLS=$(KILLS) $(PYTEST) --dist load tests/inference/test_kills.py tests/training/test_state_kills.py

moments: .venv/installed  ## kill nodes, actors and commands of a cluster, and cut its network, at MOMENTS=20 random moments each; needs root
	TOOLKIT_MOMENTS=$(MOMENTS) $(BIN)/pytest -rs tests/cluster/test_two_machines.py

fuzz: .venv/installed  ## read randomly modified files of every format, for MINUTES=10
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzzing/fuzz.py --minutes $(MINUTES)

check: .venv/installed  ## format, lint, declared dependencies and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/deptry .
	$(BIN)/mypy

format: .venv/installed  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/installed  ## build the docs site in build/site; warnings are errors
	$(BIN)/pip install --quiet --editable '.[dev,docs]'
	$(BIN)/python docs/site.py build/site-source
	$(BIN)/sphinx-build -W --keep-going -q -c docs build/site-source build/site
	@echo "open build/site/index.html"

bench: .venv/installed  ## all benchmarks, each against another implementation; fails at the end if a target is missed
	$(BIN)/pip install --quiet --editable '.[dev,bench]'
	missed=0; for file in $(filter-out $(STUDIES:%=benchmarks/%.py),$(sort $(wildcard benchmarks/[a-z]*.py))); do \
		echo "== $$file"; $(BIN)/python $$file || missed=1; done; exit $$missed

gpu: .venv/installed  ## the tests and benchmarks for a CUDA GPU; without one, it only says so
	$(BIN)/pytest -m gpu -rs -W default  # torch's warnings on a GPU are shown, but do not fail a test
	@if $(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then \
		missed=0; for name in $(GPU_BENCHMARKS); do \
			echo "== $$name"; $(BIN)/python benchmarks/$$name.py --device cuda || missed=1; \
		done; exit $$missed; \
	else echo "benchmarks not run: they need a CUDA GPU, and torch finds none"; fi

clean:
	rm -rf .venv build dist *.egg-info runs/demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
