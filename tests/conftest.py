import os, shutil
from pathlib import Path
import pytest

# Before any import of numpy or torch, for a bare `pytest` as much as for `make test`.
for k in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'): os.environ.setdefault(k, '1')
os.environ.setdefault('MPLBACKEND', 'Agg')

ROOT = Path(__file__).resolve().parent.parent
NUMBERED = sorted(p for p in ROOT.glob('nbs/**/[0-9]*.ipynb') if not {'_artefacts', '.ipynb_checkpoints'} & set(p.parts))
NOTEBOOKS = NUMBERED + [ROOT/'nbs'/f'{name}.ipynb' for name in ('index', 'guide', 'results')]

def pytest_addoption(parser):
    parser.addoption('--slow', action='store_true', help='also run the cells marked `#| slow`')

def pytest_generate_tests(metafunc):
    "`notebook` runs over all notebooks, `numbered` over the stages."
    for name,paths in (('notebook', NOTEBOOKS), ('numbered', NUMBERED)):
        if name in metafunc.fixturenames: metafunc.parametrize(name, paths, ids=lambda p: p.relative_to(ROOT/'nbs').with_suffix('').as_posix())

def pytest_collection_modifyitems(items):
    "The longest test comes first, so that no worker waits for it at the end"
    items.sort(key=lambda item: item.name != 'test_end_to_end')

@pytest.fixture
def root(): return ROOT

@pytest.fixture
def few(tmp_path):
    "Six records of one event of the sample"
    sample = ROOT/'data/sample/raw'
    for p in [*sorted(sample.glob('obsd/SIM1*'))[:6], sample/'quakeml/SIM1.xml', sample/'stationxml/SY.xml']:
        (tmp_path/'obs'/p.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(p, tmp_path/'obs'/p.parent.name)
    return tmp_path/'obs'

@pytest.fixture(scope='session')
def simulated_vaults(tmp_path_factory):
    "Records of vaults with two sensors each, simulated with another code (tests/vaults.py)"
    import vaults
    return vaults.simulated(tmp_path_factory.mktemp('vaults')/'raw')

@pytest.fixture(scope='session', params=['simulated', 'real'])
def world(request):
    "The simulated vaults, and the real ones of 2009 where they are"
    if request.param == 'simulated': return request.getfixturevalue('simulated_vaults')
    import vaults
    return vaults.real() or pytest.skip('the records of 2009 are not here; those simulated were')

class Fault:
    "What a data centre does to a request; None: nothing"
    act = None
    def __call__(self, handler): return bool(self.act) and self.act(handler)

@pytest.fixture(scope='module')
def sample_centre():
    "A data centre that serves the sample, and fails when it is told to by `fault.act`"
    from fwinb.data.mock_fdsn import data_centre
    fault = Fault()
    with data_centre(ROOT/'data/sample/raw', intercept=fault) as c:
        c.fault = fault
        yield c

@pytest.fixture
def centre(sample_centre):
    "The same, sound and without a memory of earlier tests"
    sample_centre.fault.act = None
    sample_centre.asked.clear()
    yield sample_centre
    sample_centre.fault.act = None
