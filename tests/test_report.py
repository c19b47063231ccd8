"What fwinb-report promises when it is interrupted: finished stages are kept, the rest runs again."
import signal, subprocess, sys, time
import nbformat, pytest

PRESET = """stages:
- {name: first, notebook: first.ipynb}
- {name: second, notebook: second.ipynb, parameters: {in_path: '{out}/first/x.txt'}}
"""
WRITE = "from pathlib import Path\nPath(out_path).parent.mkdir(parents=True, exist_ok=True)\nPath(out_path).write_text('done')"

def notebook(path, parameters, code):
    cells = [nbformat.v4.new_code_cell(parameters, metadata={'tags': ['parameters']}), nbformat.v4.new_markdown_cell('## Run the stage'), nbformat.v4.new_code_cell(code)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)

@pytest.fixture
def folder(tmp_path):
    notebook(tmp_path/'first.ipynb', "out_path = '_artefacts/first/x.txt'", WRITE)
    wait = "import time\nfrom pathlib import Path\nPath(in_path).with_name('started').touch()\nwhile Path(in_path).with_name('wait').exists(): time.sleep(.05)\n"
    notebook(tmp_path/'second.ipynb', "in_path = '../data/x.txt'\nout_path = '_artefacts/second/y.txt'", wait+WRITE)
    (tmp_path/'p.yml').write_text(PRESET)
    return tmp_path

def start(folder, out='run'):
    return subprocess.Popen([sys.executable, '-c', 'import sys; from fwinb.commands import report_main as main; sys.exit(main())', 'p.yml', '--out', out], cwd=folder,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

@pytest.mark.parametrize('sig', [signal.SIGINT, signal.SIGKILL], ids=['ctrl-c', 'kill -9'])
def test_interrupted(folder, sig):
    (folder/'run'/'first').mkdir(parents=True)
    (folder/'run'/'first'/'wait').touch()                       # the second stage waits for us
    p, end = start(folder), time.time()+120
    while not (folder/'run'/'first'/'started').exists():
        assert p.poll() is None and time.time() < end, p.communicate()[0]
        time.sleep(.05)
    p.send_signal(sig)
    said = p.communicate(timeout=60)[0]
    assert p.returncode == (130 if sig == signal.SIGINT else -signal.SIGKILL), said
    assert sig == signal.SIGKILL or 'interrupted; finished stages are kept' in said
    assert not (folder/'run'/'second'/'y.txt').exists() and not (folder/'run'/'report.html').exists()
    (folder/'run'/'first'/'wait').unlink()
    p = start(folder)
    said = p.communicate(timeout=120)[0]
    assert p.returncode == 0, said
    assert '[1/2] first: fresh' in said and '[2/2] second: run' in said
    assert (folder/'run'/'second'/'y.txt').read_text() == 'done' and (folder/'run'/'report.html').is_file()

def test_two_at_once(folder):
    "Two runs share the notebooks' folder and nothing else; two in one folder are refused."
    a, b = start(folder), start(folder, 'other')
    said = [p.communicate(timeout=120)[0] for p in (a, b)]
    assert (a.returncode, b.returncode) == (0, 0), said
    (folder/'run'/'first'/'wait').touch(); (folder/'run'/'first'/'started').unlink()
    (folder/'run'/'second'/'y.txt').unlink()
    a = start(folder)
    while not (folder/'run'/'first'/'started').exists():
        assert a.poll() is None
        time.sleep(.05)
    b = start(folder)
    assert 'another fwinb-report is running in run' in b.communicate(timeout=60)[0] and b.returncode == 2
    (folder/'run'/'first'/'wait').unlink()
    assert a.communicate(timeout=120) and a.returncode == 0

def test_wrong_command(folder):
    (folder/'p.yml').write_text(PRESET.replace('in_path', 'inpath'))
    p = start(folder)
    said = p.communicate(timeout=60)[0]
    assert p.returncode == 2 and "no parameter 'inpath'; did you mean 'in_path'?" in said
    assert 'Traceback' not in said and not (folder/'run').exists()
