"Each notebook runs from top to bottom, as `nbdev-test` would run it."
import io, sys
import pytest
from nbdev.config import get_config
from nbdev.test import test_nb as run_nb

def test_notebook(notebook, root, monkeypatch, request):
    slow = request.config.getoption('--slow')
    monkeypatch.chdir(notebook.parent)
    monkeypatch.setattr(sys, '__stderr__', err := io.StringIO())  # run_nb prints the traceback there
    ok,_ = run_nb(notebook, skip_flags=get_config(root).tst_flags.split(), force_flags=['slow'] if slow else [],
        basepath=root, profile=False, cell_timeout=None if slow else 600)
    if not ok: pytest.fail(err.getvalue(), pytrace=False)
