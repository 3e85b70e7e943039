# `make demo` and `make test` make their own virtual environment, .venv, from Python 3.11+, make and git alone.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST_ARGS ?=
BENCH_ARGS ?=
# Environments of their own for other versions: where they lie, and which torch `make support` takes
TORCH_VENV ?= .venv-torch-
TORCHES ?= 2.8.0 2.11.0 2.13.0 2.14.1
SUITE ?= torch
ONE_THREAD := PYTHONPATH=. OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

.PHONY: help venv demo demo-full test test-fake-cuda check format docs docs-site release bench bench-planning bench-training bench-fusing bench-budget bench-budget-measured bench-integrations soak rivals notebooks picture clean \
	bench-cuda rehearse-cuda plans-cuda coverage-of-models mutations bench-second-start test-slow test-situations test-torch test-newest test-lowest test-newest-identity support
COVERAGE_ARGS ?=
.DEFAULT_GOAL := help

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /make \1: /p' Makefile

venv: $(STAMP)  ## the virtual environment with everything that the other targets need

# torch first and alone: the pinned build is settled before anything else can ask for another
FRONTEND := hatch_build.py $(addprefix labextension/,package.json yarn.lock tsconfig.json) \
	$(wildcard labextension/src/* labextension/style/*)

$(STAMP): pyproject.toml constraints.txt $(FRONTEND)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "make: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' \
		|| { echo "make: $(PYTHON) has no venv; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)  ## GPT-2 124M: one training step planned and drawn in a minute, run and compared with eager in three
	$(BIN)/python -m roam_lab demo -o demo_output

demo-full: $(STAMP)  ## GPT-2 124M of transformers, batch 1 and 4, eager against planned (7 to 17 minutes)
	$(BIN)/python examples/demo.py

# one thread each: torch's own threads would fight over the cores
test: $(STAMP)  ## every test but those that take long
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/situations $(PYTEST_ARGS)

test-slow: $(STAMP)  ## the tests that take long: notebooks, more models, 100,000 ops
	ROAM_SLOW_TESTS=1 $(ONE_THREAD) $(BIN)/python -m pytest -n 2 -m slow --ignore tests/situations $(PYTEST_ARGS)

$(TORCH_VENV)%/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(@D)
	sed 's/^torch==.*/torch==$*/' constraints.txt > $(@D)/constraints.txt
	$(@D)/bin/python -m pip install --quiet -c $(@D)/constraints.txt torch
	ROAM_LAB_FRONTEND=skip $(@D)/bin/python -m pip install --quiet -c $(@D)/constraints.txt -e '.[dev]'
	@touch $@

ifneq ($(filter test-torch,$(MAKECMDGOALS)),)
ifndef TORCH
$(error name a version: make test-torch TORCH=2.14.1)
endif
endif

# what it finds is written for docs/support.md; SUITE=identity for those tests alone
test-torch: $(TORCH_VENV)$(TORCH)/.installed  ## all tests that import torch, with another torch: make test-torch TORCH=2.14.1
	$(ONE_THREAD) $(<D)/bin/python benchmarks/support.py run $(SUITE) -n 2 --dist loadfile $(PYTEST_ARGS)

# where pip is held back by a constraint of the machine's own, the newest is what that leaves
test-newest:  ## every test, with the newest of every package that pip finds
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade torch
	.venv-newest/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager -e '.[dev]'
	$(ONE_THREAD) .venv-newest/bin/python benchmarks/support.py run all --packages newest \
		-n 2 --dist loadfile $(PYTEST_ARGS)

test-lowest:  ## all tests that import torch, with the lowest version of every package that pyproject.toml allows
	$(PYTHON) -m venv .venv-lowest
	PYTHONPATH=. $(BIN)/python benchmarks/support.py lowest > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install --quiet -c .venv-lowest/constraints.txt torch
	ROAM_LAB_FRONTEND=skip .venv-lowest/bin/python -m pip install --quiet -c .venv-lowest/constraints.txt -e '.[dev]'
	$(ONE_THREAD) .venv-lowest/bin/python benchmarks/support.py run torch --packages lowest \
		-n 2 --dist loadfile $(PYTEST_ARGS)

FAKE_TORCH ?= 2.14.1
FAKE_CUDA = build/fake_cuda-$(FAKE_TORCH)

build/fake_cuda-%/libfake.so: $(TORCH_VENV)%/.installed $(wildcard tests/fake_cuda/device/*)
	@command -v gcc >/dev/null || { echo "make: the fake CUDA device needs gcc; on Debian: apt-get install gcc" >&2; exit 1; }
	tests/fake_cuda/device/build.sh $(TORCH_VENV)$*/bin/python $(@D)

# a CUDA build of torch on a device that computes nothing: what is captured, allocated and launched, but no numbers
test-fake-cuda: $(FAKE_CUDA)/libfake.so  ## CUDA's host side without a GPU (gcc; FAKE_TORCH=2.14.1)
	ROAM_FAKE_CUDA=1 FAKE_DEVICES=2 LD_PRELOAD=$(abspath $<) LD_LIBRARY_PATH=$(abspath $(FAKE_CUDA)) $(ONE_THREAD) \
		$(TORCH_VENV)$(FAKE_TORCH)/bin/python -m pytest -p no:xdist tests/fake_cuda $(PYTEST_ARGS)

test-newest-identity: $(STAMP)  ## identity tests and a part of the fake CUDA suite with the newest torch, if it installs in two minutes
	BASE=$(abspath $(BIN)/python) .ci/newest_identity

support: SUITE = identity
# one that fails does not keep the others from being run, nor the table from saying so
support: $(STAMP)  ## the identity tests with each torch of TORCHES, and docs/support.md
	@for version in $(TORCHES); do \
		$(MAKE) --no-print-directory test-torch TORCH=$$version SUITE=$(SUITE) || echo "make: torch $$version fails"; \
	done
	PYTHONPATH=. $(BIN)/python benchmarks/support.py page

test-situations: $(STAMP)  ## training steps of real users (ROAM_SITUATIONS_BY=hook|unchecked|extra-time|second-start)
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist loadfile \
		tests/situations $(PYTEST_ARGS)

check: $(STAMP)  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff put layout, imports and simple findings right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## docs/strategies.md from the registry, docs/api.md from docstrings, the picture of the architecture
	$(BIN)/python -m roam_lab.report.strategy_page docs/strategies.md
	PYTHONPATH=. $(BIN)/python docs/api_page.py docs/api.md
	$(BIN)/python docs/architecture_picture.py

# environments of their own: neither tests nor users need these packages
.venv-%/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(@D)
	$(PYTHON) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['dependency-groups']['$*'], sep='\n')" \
		> $(@D)/requirements.txt
	$(@D)/bin/python -m pip install --quiet -c constraints.txt -r $(@D)/requirements.txt
	@touch $@

docs-site: .venv-docs/.installed  ## the documents as a site that works offline: build/site/index.html
	.venv-docs/bin/python -m sphinx -W --keep-going -q -b html docs build/site
	@echo build/site/index.html

RELEASE_ARGS ?=
release: .venv-release/.installed  ## wheel and sdist, checked, installed and used on the oldest and newest Python and torch
	.venv-release/bin/python tools/release.py $(RELEASE_ARGS)

bench: bench-planning bench-training  ## every benchmark

bench-planning: $(STAMP)  ## every strategy on ../shared/graphs and ../shared/layouts, and how cost grows: docs/planning.md
	$(BIN)/python benchmarks/planning.py $(BENCH_ARGS)
	$(BIN)/python benchmarks/scaling.py

rivals: $(STAMP)  ## other projects' planners for bench-planning, in a folder of their own (~/.cache/roam-lab-rivals)
	$(BIN)/python -m pip install --quiet --no-deps --target $(HOME)/.cache/roam-lab-rivals \
		executorch==1.5.1 flatbuffers ruamel.yaml tabulate

bench-training: $(STAMP)  ## training: eager against planned
	$(BIN)/python benchmarks/training.py --device cpu

bench-fusing: $(STAMP)  ## chains run a few rows at a time against their ops run whole: docs/fusing.md
	$(BIN)/python benchmarks/fusing.py $(BENCH_ARGS)
	$(BIN)/python benchmarks/fusing.py --page

bench-budget: $(STAMP)  ## our plans under memory budgets beside checkpointing and torch's own: docs/budget.md
	PYTHONPATH=. $(BIN)/python -m benchmarks.budget_rivals
	PYTHONPATH=. $(BIN)/python -m benchmarks.budget_page ours
	PYTHONPATH=. $(BIN)/python -m benchmarks.budget_page page

bench-integrations: $(STAMP)  ## GPT-2 by each integration, 200 steps, eager and hooked: docs/integrations.md (BENCH_ARGS="--size 124m")
	PYTHONPATH=. $(BIN)/python -m benchmarks.integrations $(BENCH_ARGS)
	PYTHONPATH=. $(BIN)/python -m benchmarks.integrations --page

bench-second-start: $(STAMP)  ## GPT-2 124M hooked in new processes that share one cache: docs/second_start.md
	$(BIN)/python benchmarks/second_start.py $(BENCH_ARGS)

soak: $(STAMP)  ## 10,000 steps hooked and eager, and a hooked training that is killed again and again: the same bits, flat memory
	PYTHONPATH=. $(BIN)/python benchmarks/soak.py

# an hour; each stage can be run again, and goes on where it was
BUDGET_MODELS ?= gpt2_b8 bert_b8 vit_b8 resnet50_b16
bench-budget-measured: $(STAMP)  ## plans of 12 budgets run on this machine: memory kept, time as predicted
	for stage in time plan run pair; do PYTHONPATH=. $(BIN)/python -m benchmarks.budget_measured $$stage $(BUDGET_MODELS) \
		--seconds 3600; done

# with a Python of the machine's own: it needs torch 2.11, transformers and this folder, and nothing is installed
bench-cuda:  ## the first minutes with a GPU: docs/cuda.md (resumable; BENCH_ARGS="--minutes 12", PYTHON=python3.12)
	PYTHONPATH=. $(PYTHON) -m benchmarks.cuda --page $(BENCH_ARGS)

rehearse-cuda: $(FAKE_CUDA)/libfake.so  ## all of bench-cuda's code on the fake device, with tiny models (gcc)
	LD_PRELOAD=$(abspath $<) LD_LIBRARY_PATH=$(abspath $(FAKE_CUDA)) PYTHONPATH=. OMP_NUM_THREADS=1 \
		$(TORCH_VENV)$(FAKE_TORCH)/bin/python -m benchmarks.cuda --rehearse --page $(BENCH_ARGS)

plans-cuda: $(FAKE_CUDA)/libfake.so  ## bench-cuda's plans, for BENCH_ARGS="--plans build/plans_cuda" where no planner is installed
	LD_PRELOAD=$(abspath $<) LD_LIBRARY_PATH=$(abspath $(FAKE_CUDA)) PYTHONPATH=. OMP_NUM_THREADS=1 \
		$(TORCH_VENV)$(FAKE_TORCH)/bin/python -m benchmarks.cuda --stages plan,identity --plans build/plans_cuda \
		-o build/plans_cuda.jsonl $(BENCH_ARGS)

MUTATION_ARGS ?=
mutations: $(STAMP)  ## small faults put into ir/, rewrite/, plan/ and guards: which do the tests find? (MUTATION_ARGS="ir --count 200")
	$(ONE_THREAD) $(BIN)/python tools/mutations.py $(MUTATION_ARGS)

coverage-of-models: $(STAMP)  ## which of 400 models are trained bit for bit: docs/coverage.md (half an hour; resumable)
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m tests.coverage.run $(COVERAGE_ARGS)

notebooks: $(STAMP)  ## run the notebooks again and save them with their outputs
	$(BIN)/python notebooks/refresh.py

picture: demo-full  ## the README's pictures: as demo-full draws it, and the panel in JupyterLab
	cp demo_output/gpt2_batch1.svg docs/
	$(BIN)/python docs/panel_picture.py

clean:  ## remove what the other targets made
	rm -rf labextension/lib labextension/node_modules roam_lab/labextension
	rm -rf .venv-newest .venv-lowest .venv-docs .venv-release .venv-torch-* build/site
	rm -rf $(VENV) demo_output .pytest_cache .mypy_cache .ruff_cache
