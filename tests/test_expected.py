"The numbers that a user sees of the sample stay what they are: misfits, classes, probabilities, decisions (tests/expected)."
from pathlib import Path
import numpy as np, pandas as pd, pytest

from fwinb.labels.misfit import add_misfit
from fwinb.models.pretrained import predict
from fwinb.pairs.store import open_pairs
from fwinb.select import PAGE, select

ROOT = Path(__file__).resolve().parent.parent
EXPECTED = ROOT/'tests'/'expected'
REL = 2e-4   # single precision, other processors; probabilities of 1e-6 keep three digits

def same(found, expected):
    assert list(found.columns) == list(expected.columns) and len(found) == len(expected)
    for k in expected:
        a, b = found[k], expected[k]
        if pd.api.types.is_numeric_dtype(b) and b.dtype != bool: np.testing.assert_allclose(a.astype(float), b.astype(float), rtol=REL, atol=1e-6, err_msg=k)
        else: assert a.fillna('').astype(str).tolist() == b.fillna('').astype(str).tolist(), k

def test_sample_pairs():
    pairs = predict(add_misfit(open_pairs(ROOT/'data/sample/pairs.zarr', dask=False)))
    expected = pd.read_csv(EXPECTED/'sample_pairs.csv', keep_default_na=True)
    found = pd.DataFrame({k: pairs[k].values for k in expected if not k.startswith('p_')})
    for i in range(4): found[f'p_{i}'] = pairs.probability.values[:,i]
    same(found, expected)

@pytest.mark.parametrize('syn, name', [(None, 'sample_selection'), ('data/sample/synt', 'sample_selection_own')], ids=['PREM', 'own synthetics'])
def test_sample_selection(syn, name):
    table = select(ROOT/'data/sample/raw', syn and ROOT/syn)[PAGE]
    same(table, pd.read_csv(EXPECTED/f'{name}.csv').astype({'class': object}))
