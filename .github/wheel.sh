#!/usr/bin/env bash
# What a user gets: the wheel in an empty environment, first its base alone, then with [notebooks].
#   bash .github/wheel.sh dist/*.whl [PYTHON]
set -euo pipefail
wheel=$(realpath "$1"); python=${2:-python3}
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"                                       # not beside the modules of the clone
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MPLBACKEND=Agg

echo "== the base"
"$python" -m venv env
env/bin/pip install --quiet "$wheel"
cp -r "$here/data/sample/raw" records
env/bin/fwinb-select --version
LC_ALL=C PYTHONUTF8=0 env/bin/fwinb-select records --out selection.csv        # the locale does not matter
env/bin/python -c "import sys, warnings; warnings.filterwarnings('error', module='fwinb'); from fwinb.commands import select_main
sys.exit(select_main(['records', '--out', 'again.csv']))"                      # no warning of ours, at the newest versions
cmp selection.csv again.csv
env/bin/python - "$here/tests/expected/sample_selection.csv" <<'END'
import sys
from importlib.util import find_spec
import pandas as pd
unwanted = [m for m in ('dask', 'fastai', 'torchvision', 'sklearn', 'IPython', 'jupyterlab', 'papermill', 'pyasdf') if find_spec(m)]
assert not unwanted, f'the base brings {unwanted}'
mine, theirs = (pd.read_csv(p)[['event', 'station', 'decision', 'reason']].fillna('') for p in ('selection.csv', sys.argv[1]))
pd.testing.assert_frame_equal(mine, theirs)
print(f'{len(mine)} decisions as in the clone')
END
status=0; env/bin/fwinb-report quick --out quick 2> said || status=$?
grep -q "fwinb\[notebooks\]" said && test $status = 2 || { cat said; echo "fwinb-report without [notebooks] ended with $status"; exit 1; }

echo "== [notebooks]"
env/bin/pip install --quiet "$wheel[notebooks]" "torch==$(env/bin/python -c 'import torch; print(torch.__version__)')"
env/bin/python -c 'from importlib.util import find_spec as f; assert not f("dask"), "Dask without [scale]"'
env/bin/fwinb-report quick --out quick
test -s quick/report.html
echo "quick/report.html: $(wc -c < quick/report.html) bytes"
env/bin/fwinb-report data --data records --out mine
test -s mine/report.html && cmp selection.csv mine/data/selection.csv
