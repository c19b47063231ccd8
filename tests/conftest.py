import os
from pathlib import Path
import pytest

# Before any import of numpy or torch, for a bare `pytest` as much as for `make test`.
for k in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'): os.environ.setdefault(k, '1')
os.environ.setdefault('MPLBACKEND', 'Agg')

ROOT = Path(__file__).resolve().parent.parent
NUMBERED = sorted(ROOT.glob('nbs/[0-9]*.ipynb'))
NOTEBOOKS = NUMBERED + sorted(ROOT.glob('nbs/index.ipynb'))

def pytest_addoption(parser):
    parser.addoption('--slow', action='store_true', help='also run the cells marked `#| slow`')

def pytest_generate_tests(metafunc):
    "`notebook` runs over all notebooks, `numbered` over the stages."
    for name,paths in (('notebook', NOTEBOOKS), ('numbered', NUMBERED)):
        if name in metafunc.fixturenames: metafunc.parametrize(name, paths, ids=lambda p: p.stem)

@pytest.fixture
def root(): return ROOT
