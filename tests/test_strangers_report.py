"What fwinb-report promises on the folders, names and machines of strangers."
import ast, os, re, shutil, subprocess, sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
import matplotlib.pyplot as plt, nbformat, numpy as np, obspy, pandas as pd, pytest

from fwinb.earth.modes import synthesize
from fwinb.overview import answer, answer_html, channel_table, channels_html, rows_html
from fwinb.pairs.plot import literal_text, plot_pair, plot_pairs
from fwinb.pairs.store import open_pairs
from fwinb.pairs.table import PAGE
from fwinb.report import Digests, Stage, engines, is_fresh, load_preset, preset_path, run_report, stage_key, without_tests
from small_world import PLACES, world

ROOT = Path(__file__).resolve().parent.parent
ODD = 'Köln $x^{$ <b>&"'                      # a name that Markdown, HTML and matplotlib read in their own ways
UNNEEDED = 'dask', 'distributed', 'fastai', 'sklearn', 'deepwave', 'pyasdf', 'torchvision'
HIDE = f"""import importlib.machinery as m
find = m.PathFinder.find_spec.__func__
def hide(cls, name, path=None, target=None):
    return None if name.partition('.')[0] in {UNNEEDED} else find(cls, name, path, target)
m.PathFinder.find_spec = classmethod(hide)
"""

def named_world(folder, name=ODD, places=PLACES):
    "The small world, with another name of its event"
    world(folder, places)
    events = obspy.read_events(str(folder/'CMTSOLUTION'))
    for d in events[0].event_descriptions:
        if d.type == 'earthquake name': d.text = name
    (folder/'CMTSOLUTION').unlink()
    events.write(str(folder/'event.xml'), 'QUAKEML')
    return folder

def command(args, cwd, **env):
    "fwinb-report in a process without extras, in the C locale"
    (cwd/'hide').mkdir(exist_ok=True)
    (cwd/'hide'/'sitecustomize.py').write_text(HIDE, encoding='utf-8')
    path = os.pathsep.join([str(cwd/'hide'), *filter(None, [os.environ.get('PYTHONPATH')])])
    code = ("import sys\nfrom fwinb.commands import report_main\nstatus = report_main(sys.argv[1:])\n"
            "print('imported:', *sorted({'nbconvert', 'nbformat', 'papermill'} & set(sys.modules)))\nsys.exit(status)")
    c = dict(LC_ALL='C', LANG='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0', PYTHONPATH=path)
    return subprocess.run([sys.executable, '-c', code, *args], cwd=cwd, env={**os.environ, **c, **env}, encoding='utf-8',
                          errors='replace', stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)

class Page(HTMLParser):
    "Links, pictures, headings of tables and text of a page"
    def __init__(self, path):
        super().__init__()
        self.path, self.links, self.alts, self.text, self.tags = path, [], [], [], []
        self.feed(path.read_text(encoding='utf-8'))
    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        self.tags.append(tag)
        if tag == 'a' and 'href' in a: self.links.append(a['href'])
        if tag == 'img': self.alts.append(a.get('alt') or '')
    def handle_data(self, data): self.text.append(data)
    def dead(self):
        "Links that lead nowhere"
        own = self.path.read_text(encoding='utf-8')
        def there(x): return f'id="{x[1:]}"' in own if x[0] == '#' else (self.path.parent/unquote(x)).exists()
        return [x for x in self.links if not x.startswith(('https://', 'http://')) and not there(x)]

@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "A report of three stations, one with a gap and one without metadata"
    top = tmp_path_factory.mktemp('data')
    data = named_world(top/'mine')
    st = obspy.read(str(data/'XX.BBB.mseed'))
    t = obspy.UTCDateTime(2018, 3, 4, 5, 16)
    (st.slice(endtime=t) + st.slice(t+100)).write(str(data/'XX.BBB.mseed'), 'MSEED')
    inventory = obspy.read_inventory(str(data/'inv.xml'))
    inventory.remove(station='CCC').write(str(data/'inv.xml'), 'STATIONXML')
    run = command(['data', '--data', 'mine', '--out', 'run'], top)
    assert run.returncode == 0, run.stdout
    return top

def test_hidden(tmp_path):
    "The process of `command` has none of the extras"
    (tmp_path/'sitecustomize.py').write_text(HIDE, encoding='utf-8')
    code = f"from importlib.util import find_spec\nprint([n for n in {UNNEEDED} if find_spec(n)], find_spec('numpy') is not None)"
    said = subprocess.run([sys.executable, '-c', code], env={**os.environ, 'PYTHONPATH': str(tmp_path)}, capture_output=True, encoding='utf-8')
    assert said.stdout.strip() == '[] True', said

def test_first_screen(made):
    page = Page(made/'run'/'report.html')
    text = ' '.join(' '.join(page.text).split())
    table = pd.read_csv(made/'run'/'data'/'selection.csv', keep_default_na=False, encoding='utf-8')
    assert dict(zip(table.station, table.reason)) == {'XX.AAA..LHZ': '', 'XX.BBB..LHZ': 'gap', 'XX.CCC..LHZ': 'no response'}
    assert 'You may use 1 of your 3 vertical records of 1 earthquake.' in text
    assert text.index('You may use 1') < text.index('samples are missing in the window') < text.index('The run')
    assert f'XX.BBB..LHZ {ODD}, dropped: gap' in text                    # the name as it is, after HTML
    assert set(table.event) == {ODD}

def test_whole_page(made):
    "Pictures say what they show, no link is dead, every row and column is there, nothing is told about the study"
    page = Page(made/'run'/'report.html')
    assert len(page.alts) == 3 and all(len(a) > 20 for a in page.alts) and not page.dead()
    assert any('data/selection.csv' == x for x in page.links) and any('STATIONS' in x for x in page.links)
    source = page.path.read_text(encoding='utf-8')
    for column in PAGE: assert re.search(rf'<th [^>]*>{column.replace("_", "_(<wbr ?/?>)?")}</th>', source), column
    assert source.count('<td>XX.') >= 6 and '<b>&"' not in source and '$x^{$' in source
    assert 'Gabor' not in source and 'Run the stage' not in source
    for name in ('traces.html', '../notebooks/data.html'): assert not Page(made/'run'/'data'/name).dead()

def test_nothing_to_do(made):
    "The second time nothing is run, nothing is rendered, and what makes notebooks and pages is not even imported"
    before = (made/'run'/'report.html').stat().st_mtime_ns
    run = command(['data', '--data', 'mine', '--out', 'run'], made)
    assert run.returncode == 0 and '[1/1] data: fresh' in run.stdout, run.stdout
    assert run.stdout.strip().endswith('imported:') and (made/'run'/'report.html').stat().st_mtime_ns == before

def test_moved(made, tmp_path):
    "A run and its data elsewhere, as after a copy: the data are named anew, so the stage runs, unless only the run has moved"
    shutil.copytree(made/'run', tmp_path/'run')
    stage, = load_preset('data', tmp_path/'run', made/'mine')
    assert is_fresh(stage, tmp_path/'run')
    with open(tmp_path/'run'/'data'/'selection.csv', 'a', encoding='utf-8') as f: f.write('\n')
    assert not is_fresh(stage, tmp_path/'run')

def run_page(**parameters):
    "The code of the page of the preset, with parameters; what its summary cells show, and its names"
    names, shown = {}, []
    for cell in nbformat.read(ROOT/'nbs/commands/04_data.ipynb', 4).cells:
        if cell.cell_type != 'code': continue
        tree, tags = ast.parse(cell.source), cell.metadata.get('tags', [])
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, 'page', 'exec'), names)
        value = eval(compile(ast.Expression(last.value), 'page', 'eval'), names) if last else None
        if 'parameters' in tags: names |= parameters
        if 'summary' in tags and value is not None: shown.append(value.data)
    plt.close('all')
    return ''.join(shown), names

KINDS = {'no metadata': ('inv.xml', 'no response'), 'no event': ('event.xml', 'no event')}

@pytest.mark.parametrize('kind', KINDS)
def test_all_dropped(kind, tmp_path):
    "Nothing may be used: the page says so and why, and there is no store of pairs"
    name, reason = KINDS[kind]
    folder = named_world(tmp_path/'mine')
    (folder/name).unlink()
    page, names = run_page(obs=str(folder), out_dir=str(tmp_path/'out'))
    assert 'None of your 3 vertical records' in page and f'<td>{reason}</td>' in page
    assert set(names['selection'].decision) == {'dropped'} and not (tmp_path/'out'/'pairs.zarr').exists()
    assert (tmp_path/'out'/'traces.html').is_file() and len(pd.read_csv(tmp_path/'out'/'selection.csv')) == 3

def test_ground_motion(tmp_path):
    "SAC that says it is displacement, with places in its headers and no metadata: used, and checked as a station, too"
    from small_world import motion
    folder = named_world(tmp_path/'mine')
    for p in folder.glob('*.mseed'): p.unlink()
    (folder/'inv.xml').unlink()
    for tr, (latitude, longitude) in zip(motion(), PLACES.values()):
        tr.stats.update(dict(location='', channel='LHZ'))
        tr.data = (tr.data + 1e-9*np.random.default_rng(0).normal(size=len(tr))).astype(np.float32)
        tr.stats.sac = dict(idep=6, stla=latitude, stlo=longitude)
        tr.write(str(folder/f'{tr.stats.station}.sac'), 'SAC')
    page, names = run_page(obs=str(folder), out_dir=str(tmp_path/'out'))
    assert (names['selection'].decision == 'accept').all(), names['selection'].T
    assert 'You may use 3 of your 3 vertical records' in page
    assert len(names['records']) == 3 and names['pairs'].sizes['pair'] == 3

def test_empty_tables():
    "Parts of the page without a row"
    table = pd.DataFrame({c: pd.Series(dtype=float if c in PAGE[4:5] + PAGE[6:10] + PAGE[11:18] else object) for c in PAGE})
    assert answer(table).startswith('There is no vertical record') and '0 of 0 traces' in re.sub('<[^>]+>', '', rows_html(table))
    assert answer_html(table) and channels_html(channel_table(table))

# what a stage depends on

@pytest.fixture
def shared(tmp_path, monkeypatch):
    "A copy of the files of the package that a selection reads"
    for room in ('weights', 'facts'): shutil.copytree(ROOT/'data'/room, tmp_path/'share'/'data'/room)
    (tmp_path/'share'/'data'/'results').mkdir()
    (tmp_path/'share'/'data'/'results'/'x.csv').write_text('a\n', encoding='utf-8')
    def share_path(*parts):
        p = tmp_path.joinpath('share', *parts)
        return p if p.exists() else ROOT.joinpath(*parts)
    monkeypatch.setattr('fwinb.report.share_path', share_path)
    return tmp_path/'share'/'data'

def select_stage(): return Stage('select', ROOT/'nbs'/'06_select.ipynb', dict(obs='nothing', model='usable'))

@pytest.mark.parametrize('name', ['weights/usable.safetensors', 'weights/usable.json', 'facts/crust2_elevation.csv'])
def test_stale_with_what_it_reads(name, shared):
    "A selection is stale after a change of weights, card or a fact, and fresh after a touch"
    digests = Digests()
    before, path = stage_key(select_stage(), digests=digests), shared/name
    os.utime(path, ns=(1, 1))
    assert stage_key(select_stage(), digests=digests) == before
    path.write_bytes(path.read_bytes()[:-1] + b'\n ')
    assert stage_key(select_stage(), digests=digests) != before

def test_fresh_with_what_it_does_not_read(shared):
    before = stage_key(select_stage())
    (shared/'results'/'x.csv').write_text('b\n', encoding='utf-8')
    assert stage_key(select_stage()) == before

def notebook(path, *sources, **tags):
    "A notebook with a parameters cell and cells of code; tags by number"
    cells = [nbformat.v4.new_code_cell("out_path = '_artefacts/x/x.txt'", metadata=dict(tags=['parameters']))]
    cells += [nbformat.v4.new_code_cell(s, metadata=dict(tags=tags.get(f't{i}', []))) for i, s in enumerate(sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path

LAZY = 'def f():\n    from fwinb.labels.misfit import grade\n    from sklearn.svm import SVC'

def test_lazy_imports(tmp_path):
    "Engines that are imported inside of a function count, and so do shipped files that a notebook names"
    assert 'scikit-learn' in engines(LAZY) and 'scikit-learn' not in engines('import numpy')
    stage = Stage('x', notebook(tmp_path/'x.ipynb', LAZY), {})
    near = Stage('x', notebook(tmp_path/'y.ipynb', 'import numpy'), {})
    assert stage_key(stage) != stage_key(near)

# tests of notebooks

WRITE = "from pathlib import Path\nPath(out_path).parent.mkdir(parents=True, exist_ok=True)\nPath(out_path).write_text('done')"

def test_tests_are_left_out(tmp_path):
    "Cells that only test, and those with the tag, are not run; they are there to be read"
    cells = (WRITE, 'assert False', 'from fastcore.test import test_eq, expect_fail', 'test_eq(1, 2)',
             'for k in range(3):\n    assert k > 5', 'raise RuntimeError("slow case")', 'with expect_fail(): pass',
             'kept = 1\nassert kept', 'print(kept)')
    notebook(tmp_path/'x.ipynb', *cells, t5=['tests'])
    (tmp_path/'p.yml').write_text('stages: [{name: x, notebook: x.ipynb}]', encoding='utf-8')
    run_report(str(tmp_path/'p.yml'), tmp_path/'run', say=lambda line: None)
    nb = nbformat.read(tmp_path/'run'/'notebooks'/'x.ipynb', 4)
    shown = '\n'.join(c.source for c in nb.cells)
    assert all(c in shown for c in cells) and nb.cells[-1].outputs[0].text == '1\n'
    as_text = [c.source for c in nb.cells if 'tests' in c.metadata.get('tags', [])]
    assert len(as_text) == 5 and all(t.startswith('```python\n') for t in as_text)
    page = (tmp_path/'run'/'notebooks'/'x.html').read_text(encoding='utf-8')
    assert 'slow case' in page and 'RuntimeError' in page

def test_needed_cells_stay(tmp_path):
    "A test whose name is used later is run, and so is a cell that also computes"
    nb = nbformat.read(notebook(tmp_path/'x.ipynb', 'with expect_fail() as e: f()', 'print(e)', 'x = 1\nassert x'), 4)
    assert [c.cell_type for c in without_tests(nb).cells] == ['code']*4

@pytest.mark.parametrize('name', [p.stem for p in sorted((ROOT/'nbs'/'commands').glob('*.yml'))])
def test_nothing_is_lost(name, tmp_path):
    "No notebook of a preset uses, in a cell that runs, a name that only its tests make"
    (tmp_path/'mine').mkdir()
    data = tmp_path/'mine' if name == 'data' else None
    for stage in load_preset(name, tmp_path/'run', data):
        made, lost = set(), set()
        for cell in without_tests(nbformat.read(stage.notebook, 4)).cells: _note(cell, made, lost)
        assert not lost - made, f'{stage.notebook.name}: {sorted(lost - made)}'

def _note(cell, made, lost):
    "Names that a cell makes if it runs, or would have made"
    text = cell.source.removeprefix('```python\n').split('\n```')[0] if 'tests' in cell.metadata.get('tags', []) else cell.source
    if cell.cell_type == 'markdown' and text == cell.source: return
    code = '\n'.join('' if l.lstrip().startswith(('%', '!')) else l for l in text.splitlines())
    nodes = list(ast.walk(ast.parse(code)))
    own = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    if cell.cell_type == 'markdown': made.update({f'test:{n}' for n in own})
    else: lost.update({n.id for n in nodes if isinstance(n, ast.Name) and f'test:{n.id}' in made} - made - own); made.update(own)

# what is asked for

@pytest.mark.parametrize('name', ['real', 'figures'])
def test_data_refused(name, tmp_path):
    "A folder of data that no stage would read is refused, before anything runs"
    (tmp_path/'mine').mkdir()
    with pytest.raises(ValueError, match='would be ignored.*fwinb-report data --data'):
        load_preset(name, tmp_path/'run', tmp_path/'mine')
    assert load_preset(name, tmp_path/'run') and not (tmp_path/'run').exists()

def test_data_required(tmp_path):
    with pytest.raises(ValueError, match='--data FOLDER'): load_preset('data', tmp_path/'run')
    with pytest.raises(FileNotFoundError, match='beyond, data, figures, full, paper, quick, real'): preset_path('qiuck')
    (tmp_path/'p.yml').write_text('stages: []\nstage: 3', encoding='utf-8')
    with pytest.raises(ValueError, match='stage means nothing'): load_preset(str(tmp_path/'p.yml'), tmp_path/'run')

@pytest.mark.parametrize('name', ['quick', 'full', 'paper', 'data'])
@pytest.mark.parametrize('own', [False, True])
def test_own_synthetics(name, own, tmp_path):
    "The stage that decides reads the user's synthetics where they are, and shows pairs that are made with them"
    (tmp_path/'mine'/('synt' if own else '')).mkdir(parents=True)
    stages = {s.name: s for s in load_preset(name, tmp_path/'run', tmp_path/'mine')}
    p = stages['data' if name == 'data' else 'select'].parameters
    assert p['syn'] == (str(tmp_path/'mine'/'synt') if own else '')
    if name == 'data': return
    maker = Path(p['pairs_path']).parent.name
    assert not stages[maker].missing and ('own' in maker) == (own and name != 'quick')
    made = stages[maker.replace('misfit', 'preprocess')].parameters['synthetics']
    assert (made == p['syn']) if own or name == 'quick' else made.endswith('modes/synt')

def test_own_synthetics_of_real(tmp_path):
    p = {s.name: s for s in load_preset('real', tmp_path/'run')}['select'].parameters
    assert p['syn'] == '' and p['pairs_path'].endswith('misfit/pairs.zarr')
    (tmp_path/'run'/'synt').mkdir(parents=True)
    stages = load_preset('real', tmp_path/'run')
    p, order = {s.name: s for s in stages}['select'].parameters, [s.name for s in stages]
    assert p['syn'].endswith('run/synt') and p['pairs_path'].endswith('misfit_own/pairs.zarr')
    assert order.index('select') > order.index('misfit_own')

# names

NAMES = ODD, '$x^{$', '$', '$$', r'\$a$_{', 'a\nb\x00c\ufffd', '*_`[](x)~|', r'\frac{'

@pytest.mark.parametrize('name', NAMES, ids=range(len(NAMES)))
def test_names_in_figures(name):
    "Figures of a pair, its misfit and a station draw any name, letter by letter"
    from fwinb.features.stations import REPORT, plot_history, plot_stations
    from fwinb.labels.misfit import add_misfit, plot_tf_misfit
    pairs = add_misfit(open_pairs(ROOT/'data/sample/pairs.zarr', dask=False).isel(pair=slice(0, 2)))
    pairs = pairs.assign(event=('pair', [name]*2), station=('pair', [f'{name}.{name}.00.LHZ']*2))
    report = pd.DataFrame([REPORT | dict(latitude=0., longitude=0., suspect=f'clock of {name}')], index=[f'{name}.B'])
    history = pd.DataFrame(dict(station=f'{name}.B', event=[name]*2, order=[0, 1], delay=[0., 1.], reversed=False))
    figures = [plot_pair(pairs.isel(pair=0)).figure, plot_pairs(pairs), plot_tf_misfit(pairs.isel(pair=0)),
               plot_stations(report).figure, plot_history(history, f'{name}.B').figure]
    for fig in figures: fig.draw_without_rendering(); plt.close(fig)
    drawn = figures[0].axes[0].title.get_text()
    assert literal_text(name) in drawn and drawn.count('$') == drawn.count(r'\$')

def test_names_in_sac(tmp_path):
    "Synthetics of an event with such a name are written as SAC, which holds ASCII"
    event = obspy.read_events(str(named_world(tmp_path/'mine', places={'XX.AAA': (35., 20.)})/'event.xml'))[0]
    tr = synthesize(event, {'XX.AAA': (35., 20.)}, before=60., after=300., dt=5.)[0]
    tr.write(str(tmp_path/'a.sac'), 'SAC')
    assert obspy.read(str(tmp_path/'a.sac'))[0].stats.sac.kevnm.strip() == ODD.replace('ö', '?')[:16].strip()

# encoding

def locale_calls(tree):
    "Calls that read or write text in the encoding of the locale"
    for n in ast.walk(tree):
        if not isinstance(n, ast.Call): continue
        name, given = getattr(n.func, 'attr', getattr(n.func, 'id', '')), {k.arg for k in n.keywords}
        if 'encoding' in given: continue
        modes = [a.value for a in n.args[1:2] if isinstance(a, ast.Constant)]
        text = name in ('read_text', 'write_text') or name in ('run', 'Popen', 'check_output') and 'text' in given
        if text or (isinstance(n.func, ast.Name) and name == 'open' and 'b' not in ''.join(map(str, modes))):
            yield f'line {n.lineno}: {ast.unparse(n)[:80]}'

def test_utf8_everywhere():
    found = {p.relative_to(ROOT).as_posix(): list(locale_calls(ast.parse(p.read_text(encoding='utf-8'))))
             for p in sorted((ROOT/'fwinb').rglob('*.py')) if '_share' not in p.parts}
    assert not (bad := {k: v for k, v in found.items() if v}), bad
    assert list(locale_calls(ast.parse('open(p)\nopen(p, "rb")\np.read_text()\nrun(x, text=True)'))).__len__() == 3
