# `make report` or `make test` is the only command a fresh clone needs: both build .venv first.
PYTHON      ?= python3
# Empty (`make test CONSTRAINTS=`): the newest versions that settings.ini allows.
CONSTRAINTS ?= constraints.txt
BIN         := .venv/bin
STAMP       := .venv/.stamp
NEEDS       := $(shell sed -n 's/^min_python *= *//p' settings.ini)
# More threads than cores make these small arrays slower, and the tests run two at a time.
THREADS     := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
ENV         := $(THREADS) MPLBACKEND=Agg

.DEFAULT_GOAL := help
.PHONY: help venv report full figures paper test test-slow test-wheel lab docs bench sample weights readme export check clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' $(MAKEFILE_LIST) | while read t d; do printf '  %-10s %s\n' "$$t" "$$d"; done

venv: $(STAMP) ## .venv with everything, at the tested versions

$(STAMP): settings.ini setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < tuple(map(int, "$(NEEDS)".split("."))))' \
	  || { echo "fwinb needs Python $(NEEDS) or newer, and '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)."; \
	       echo "Name another one: make PYTHON=python$(NEEDS) $(MAKECMDGOALS)"; exit 1; }
	test -e $@ || $(PYTHON) -m venv --clear .venv  # no stamp: a build that broke half-way
	rm -f $@
	$(BIN)/python -m pip install --quiet $(addprefix -c ,$(CONSTRAINTS)) -e '.[all,dev,docs]'
	touch $@

report: $(STAMP) ## the ten lane notebooks on the sample -> runs/quick/report.html
	$(THREADS) $(BIN)/fwinb-report quick --out runs/quick

full: $(STAMP) ## every stage with a page of its own, at a reduced size -> runs/full
	$(THREADS) $(BIN)/fwinb-report full --out runs/full

# The figures of a run, their captions and what they were made with -> figures/
KEEP_FIGURES = cp runs/$@/figures/figures/fig*.* runs/$@/invert/figures/fig7_maps.* runs/$@/versions.json figures/ && \
	(cat runs/$@/figures/captions.md; echo; cat runs/$@/invert/figures/captions.md) > figures/captions.md

figures: $(STAMP) ## the study's figures 1 to 6, and the maps -> figures/, from the tables that ship
	$(THREADS) $(BIN)/fwinb-report figures --out runs/figures
	$(KEEP_FIGURES)

paper: $(STAMP) ## the study's 27,489 pairs, simulated -> runs/paper, figures/, data/sensitivity, nbs/results.ipynb; hours
	$(THREADS) $(BIN)/fwinb-report paper --out runs/paper
	$(KEEP_FIGURES)
	$(ENV) $(BIN)/python data/keep_tables.py runs/paper
	cd nbs && $(THREADS) ../$(BIN)/jupyter nbconvert --to notebook --execute --inplace --log-level ERROR results.ipynb
	$(BIN)/nbdev-clean --fname nbs/results.ipynb

test: $(STAMP) ## run every notebook, and check the house
	$(ENV) $(BIN)/python -m pytest -n 2 --dist worksteal -q

test-slow: $(STAMP) ## the same with the cells marked `#| slow`
	$(ENV) $(BIN)/python -m pytest -n 2 --dist worksteal -q --slow

# Tests and notebooks are copied away from the modules: only the wheel can be imported.
test-wheel: ## the tests on a built wheel, at the tested versions: make test-wheel WHEEL=dist/x.whl
	rm -rf build/wheel && mkdir -p build/wheel/tree && $(PYTHON) -m venv build/wheel/env
	build/wheel/env/bin/python -m pip install --quiet $(addprefix -c ,$(CONSTRAINTS)) '$(abspath $(WHEEL))[all,dev]'
	git archive HEAD | tar -x -C build/wheel/tree && rm -r build/wheel/tree/fwinb
	cd build/wheel/tree && $(ENV) ../env/bin/pytest -n 2 --dist worksteal -q --ignore tests/test_house.py

lab: $(STAMP) ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab nbs

docs: $(STAMP) ## the site, without a network -> docs/_build/html/index.html
	$(ENV) $(BIN)/python docs/build.py

bench: $(STAMP) ## time what bench/ holds (more than an hour, 8 GB of disk)
	@set -e; found=; for f in bench/*.py; do test -e "$$f" || continue; found=1; echo "== $$f"; $(BIN)/python "$$f"; done; \
	  test -n "$$found" || echo "No bench/*.py yet: nothing to time."

sample: $(STAMP) ## data/sample, made again from its seed
	$(ENV) $(BIN)/python data/make_sample.py

weights: $(STAMP) ## data/weights, taught again from their seeds; an hour or more
	$(ENV) $(BIN)/python data/make_weights.py

readme: $(STAMP) ## README.md and its picture from nbs/index.ipynb
	mkdir -p nbs/_artefacts
	$(ENV) $(BIN)/papermill --cwd nbs -p fig_dir ../figures --no-progress-bar nbs/index.ipynb nbs/_artefacts/README.ipynb
	$(BIN)/jupyter nbconvert --to markdown nbs/_artefacts/README.ipynb --output-dir . --output README --log-level ERROR \
	  --TagRemovePreprocessor.enabled=True --TagRemovePreprocessor.remove_cell_tags parameters --TagRemovePreprocessor.remove_cell_tags injected-parameters \
	  --TagRemovePreprocessor.remove_cell_tags remove --TagRemovePreprocessor.remove_input_tags hide_input
	$(BIN)/python -c "import pathlib as p; f = p.Path('README.md'); f.write_text(f.read_text(encoding='utf-8').replace('](../', ']('), encoding='utf-8')"

export: $(STAMP) ## notebooks -> modules, version from settings.ini, notebooks cleaned
	@$(BIN)/python -c "from nbdev.config import set_version; set_version('fwinb', '$(shell sed -n 's/^version *= *//p' settings.ini)')"
	$(BIN)/nbdev-export
	$(BIN)/nbdev-clean

check: export ## fail unless modules and clean notebooks are what is committed
	@new=$$(git ls-files --others --exclude-standard -- nbs fwinb); \
	if git diff --no-ext-diff --quiet -- nbs fwinb && test -z "$$new"; then echo "Notebooks and modules agree."; else \
	  git --no-pager diff --no-ext-diff --stat -p -- nbs fwinb | cut -c1-200 | head -n 300; \
	  test -z "$$new" || echo "Not in git: $$new"; \
	  echo "After export and clean, nbs/ or fwinb/ differs from what is committed (above)."; \
	  echo "Edit the notebook, not the module; run 'make export'; commit notebook and module together."; exit 1; fi

clean: ## remove .venv, builds and caches; runs/ stays
	rm -rf .venv build dist *.egg-info fwinb/_share docs/_src docs/_build README_files .pytest_cache
	find nbs -depth -name _artefacts -exec rm -rf {} +
	find nbs fwinb tests -depth \( -name __pycache__ -o -name .ipynb_checkpoints \) -exec rm -rf {} +
