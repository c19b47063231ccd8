"What holds of the repository itself: version, modules, notebooks, sizes."
import ast, hashlib, json, re, subprocess, sys
from configparser import ConfigParser
import pytest

def read(nb): return json.loads(nb.read_text(encoding='utf-8'))
def text(x): return x if isinstance(x, str) else ''.join(x)
def outputs(nb): return [o for c in read(nb)['cells'] for o in c.get('outputs', [])]

def strings(x):
    "Every string in a notebook but its pictures, whose base64 may spell anything."
    if isinstance(x, str): yield x
    elif isinstance(x, list): yield ''.join(s for v in x for s in strings(v))
    elif isinstance(x, dict):
        for k,v in x.items():
            if not k.startswith('image/'): yield from strings(v)

def test_version(root):
    ini = ConfigParser(interpolation=None)
    ini.read(root/'settings.ini', encoding='utf-8')
    v = ini['DEFAULT']['version']
    module = re.search(r'^__version__ = "(.+)"', (root/'fwinb/__init__.py').read_text(), re.M)
    changes = re.search(r'^## \[(\d[^\]]*)\]', (root/'CHANGELOG.md').read_text(), re.M)
    cite = re.search(r'^version: (.+)', (root/'CITATION.cff').read_text(), re.M)
    assert module[1] == v, 'run `make export`'
    assert changes[1] == v, "CHANGELOG's top version"
    assert cite[1] == v, "CITATION.cff's version"

def test_modules_have_all(root):
    for p in root.glob('fwinb/**/[!_]*.py'):
        if '_share' in p.parts: continue
        names = [t.id for s in ast.parse(p.read_text(encoding='utf-8')).body if isinstance(s, ast.Assign)
                 for t in s.targets if isinstance(t, ast.Name)]
        assert '__all__' in names, f'{p.name} says not what it exports'

def test_small_files(root):
    try: ls = subprocess.run(['git', 'ls-files', '-z'], cwd=root, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError): pytest.skip('not a git clone')
    limit = lambda f: 3e6 if f.startswith('data/weights/') else 2e6
    big = [f for f in ls.split('\0') if f and (root/f).is_file() and (root/f).stat().st_size > limit(f)]
    assert not big, f'over 2 MB (weights: 3 MB): {big}'

def test_tables_are_noted(root):
    "Every table that somebody computed has a note of what made it, and is the one that the note is about"
    notes = json.loads((root/'data/made_with.json').read_text(encoding='utf-8'))
    found = {str(p.relative_to(root/'data')): p for k in ('inversion', 'results', 'sensitivity', 'supervision', 'weights') for p in (root/'data'/k).rglob('*.csv')}
    assert set(found) == set(notes)
    other = [k for k, p in found.items() if hashlib.sha256(p.read_bytes()).hexdigest() != notes[k]['sha256']]
    assert not other, f'changed since they were noted (data/keep_tables.py): {other}'
    assert all(('by' in n) == ('code' in n) and n['commit'] for n in notes.values())
    assert not [n['by'] for n in notes.values() if 'by' in n and not (root/n['by']).exists()]

def test_no_errors(notebook):
    assert not [o['ename'] for o in outputs(notebook) if o['output_type']=='error']

def test_no_paths(notebook):
    found = re.search(r'(?<![\w.~])/(home|Users|root|tmp|var/folders)/\w[^\s\'"]*|[A-Z]:\\\\?Users', '\n'.join(strings(read(notebook))))
    assert not found, f'a path of one machine: {found[0]}'

def test_no_progress(notebook):
    assert 'widgets' not in read(notebook)['metadata']
    for o in outputs(notebook):
        assert not [k for k in o.get('data', {}) if 'jupyter.widget' in k], 'a widget view'
        s = '\n'.join(strings(o))
        assert not re.search(r'\r|<progress|\d%\|', s), f'a progress bar: {s[:80]}'

def test_parameters(numbered):
    cells = [c for c in read(numbered)['cells'] if 'parameters' in c['metadata'].get('tags', [])]
    lane = numbered.parent.name == 'nbs'
    assert len(cells) == 1 or not (lane or cells), f'{len(cells)} cells tagged `parameters`'
    if not cells: return                                     # a library page may have none
    for s in ast.parse(text(cells[0]['source'])).body:
        line = ast.unparse(s)
        assert isinstance(s, (ast.Assign, ast.AnnAssign)) and s.value, f'not `name = literal`: {line}'
        names = s.targets if isinstance(s, ast.Assign) else [s.target]
        assert len(names) == 1 and isinstance(names[0], ast.Name) and s.lineno == s.end_lineno, f'not one name on one line: {line}'
        try: ast.literal_eval(s.value)
        except ValueError: pytest.fail(f'not a literal: {line}')

def stored(tree):
    "Names that a cell assigns at its top level: by `=`, `for`, `with`, `import`, `def`; not inside of a function, class or comprehension"
    inner = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)): continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store): yield node.id
        elif isinstance(node, inner): yield node.name
        elif isinstance(node, ast.alias): yield (node.asname or node.name).split('.')[0]
        if not isinstance(node, inner): yield from stored(node)

def test_parameters_stay(numbered):
    "No cell after `parameters` overwrites one: the stage at the end would run with another value than papermill gave"
    cells = read(numbered)['cells']
    where = next((i for i,c in enumerate(cells) if 'parameters' in c['metadata'].get('tags', [])), None)
    if where is None: return
    parameters = set(stored(ast.parse(text(cells[where]['source']))))
    for c in cells[where+1:]:
        if c['cell_type'] != 'code': continue
        source = ''.join(f'{"#" if line.lstrip()[:1] in "%!" else ""}{line}\n' for line in text(c['source']).splitlines() if line.strip())
        assert not (lost := parameters & set(stored(ast.parse(source)))), f'{sorted(lost)} overwritten in: {source[:200]}'

# rooms: what a package may import (itself aside); the commands at the top may import all of them

ROOMS = dict(
    pairs=[], data=['pairs'], earth=['pairs', 'data.events'], labels=['pairs', 'earth'],
    features=['pairs', 'data', 'earth', 'labels'], models=['pairs', 'data', 'earth', 'labels', 'features'],
    inspection=['pairs', 'data', 'earth', 'labels', 'features', 'models'],
    adjoint=['pairs', 'data', 'earth', 'labels', 'features', 'models'],
    inversion=['pairs', 'data', 'earth', 'labels', 'features', 'models', 'inspection', 'adjoint'])
TOP = {'select', 'report', 'overview', 'figures', 'commands'}

def modules(root):
    "Dotted name -> syntax tree of every module"
    paths = [p for p in root.glob('fwinb/**/[!_]*.py') if '_share' not in p.parts]
    return {'.'.join(p.relative_to(root/'fwinb').with_suffix('').parts): ast.parse(p.read_text(encoding='utf-8')) for p in paths}

def own_imports(name, tree):
    "(module of fwinb, imported name) of every import in a module"
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom): continue
        if node.level:
            base = ['fwinb', *name.split('.')][:-node.level]
            module = '.'.join([*base, *([node.module] if node.module else [])])
        else: module = node.module
        if module.split('.')[0] == 'fwinb': yield from ((module.removeprefix('fwinb').lstrip('.'), a.name) for a in node.names)

def test_rooms(root):
    found = modules(root)
    assert {n.split('.')[0] for n in found} == set(ROOMS) | TOP
    for name, tree in found.items():
        room = name.split('.')[0]
        for module, _ in own_imports(name, tree):
            other = module.split('.')[0]
            if room in TOP or not module or other == room: continue
            assert other in ROOMS.get(room) or module in ROOMS[room], f'{name} imports {module}: against the table of rooms'

def test_no_private_imports(root):
    for name, tree in modules(root).items():
        for module, what in own_imports(name, tree):
            assert not what.startswith('_') or what == '__version__', f'{name} imports {what} of {module}'

def exported(path):
    "Module that a notebook exports, or ''"
    found = re.search(r'default_exp (\S+)', '\n'.join(text(c['source']) for c in read(path)['cells'] if c['cell_type'] == 'code'))
    return found[1] if found else ''

def test_order(root, numbered):
    "A page comes after the pages of its folder whose modules it imports"
    number = {exported(p): p.stem for p in numbered.parent.glob('[0-9]*.ipynb')}
    code = '\n'.join(text(c['source']) for c in read(numbered)['cells'] if c['cell_type'] == 'code')
    for module in re.findall(r'^\s*from fwinb\.([\w.]+) import', code, re.M):
        if module in number and module != exported(numbered):
            assert number[module][:2] < numbered.stem[:2], f'{numbered.stem} imports {module} of {number[module]}'

def test_lines(notebook):
    "Code is up to 120 characters wide, and a cell at most 40 lines long"
    for c in read(notebook)['cells']:
        if c['cell_type'] != 'code': continue
        lines = text(c['source']).splitlines()
        assert len(lines) <= 40, f'{len(lines)} lines: {lines[1][:80]}'
        assert not (wide := [l for l in lines if len(l) > 120]), f'{len(wide)} wide lines, the first: {wide[0][:160]}'

def test_lane(root):
    "The lane: in order, short, and with a picture within the first ten cells"
    lane = sorted(p for p in root.glob('nbs/[0-9]*.ipynb'))
    names = '00_tour 01_download 02_preprocess 03_simulate 04_misfit 05_resnet 06_select 07_sensitivity 08_inspect 09_invert 10_figures'
    assert [p.stem for p in lane] == names.split()
    for p in lane:
        cells = read(p)['cells']
        assert len(cells) <= 45, f'{p.stem} has {len(cells)} cells'
        assert [o for c in cells[:10] for o in c.get('outputs', []) if 'image/png' in o.get('data', {})], f'{p.stem}: no picture in its first ten cells'
        for c in cells:
            if c['cell_type'] == 'code': assert len(text(c['source']).splitlines()) <= 20, f"{p.stem}: {text(c['source'])[:80]}"

def test_first_screen(root):
    "README is at most 8 kB; its figure at most 600 pixels high"
    assert len((root/'README.md').read_bytes()) <= 8000
    head = (root/'figures/readme_pair.png').read_bytes()[:24]
    assert int.from_bytes(head[20:24], 'big') <= 600

def test_light():
    "What a cluster node needs: selecting imports no notebook, no training and no Dask; --help imports nothing heavy at all"
    code = "import sys; import {}; print([m for m in {} if m in sys.modules])"
    run = lambda module, names: subprocess.run([sys.executable, '-c', code.format(module, names)], capture_output=True, text=True, check=True).stdout.strip()
    heavy = ['fastai', 'sklearn', 'IPython', 'ipywidgets', 'papermill', 'nbformat', 'jupyterlab', 'dask', 'yaml']
    assert run('fwinb.select', heavy) == '[]'
    assert run('fwinb.commands', [*heavy, 'numpy', 'torch', 'obspy', 'pandas', 'xarray', 'matplotlib']) == '[]'
    assert run('fwinb.pairs.store', [*heavy, 'torch', 'obspy', 'matplotlib']) == '[]'

def text_io(tree):
    "(line, name) of every call that reads or writes text in the encoding of the locale"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or 'encoding' in (keys := {k.arg: k.value for k in node.keywords}): continue
        named = isinstance(node.func, ast.Name)
        name = node.func.id if named else getattr(node.func, 'attr', '')
        if name == 'open':                                  # open(path, mode), path.open(mode); gzip.open(path) is binary
            mode = keys.get('mode', next(iter(node.args[named:]), ast.Constant('r')))
            text = 'b' not in mode.value if isinstance(mode, ast.Constant) and isinstance(mode.value, str) else named
        elif name in ('read_text', 'write_text'): text = len(node.args) <= (name == 'write_text')
        elif name in ('Popen', 'run', 'check_output', 'check_call'): text = bool({'text', 'universal_newlines'} & set(keys))
        else: text = name == 'savetxt'         # pandas writes UTF-8 by itself, and numbers are ASCII everywhere
        if text: yield node.lineno, name

def test_text_is_utf8(root):
    "A table written on one system reads on every other: no text in the encoding of the locale"
    def refused(code): return [name for _, name in text_io(ast.parse(code))]
    for code in ('open(p)', "open(p, 'w')", 'p.open()', "p.open('a')", 'p.read_text()', 'p.write_text(s)', 'np.savetxt(p, x)',
                 'subprocess.run(c, text=True)', "open(p, mode='r+')"): assert refused(code), code
    for code in ("open(p, 'rb')", "open(p, 'w', encoding='utf-8')", "p.open('wb')", 'gzip.open(p)', "p.read_text('utf-8')",
                 'os.open(p, flags)', 'opener.open(request, timeout=1)', 'subprocess.run(c)'): assert not refused(code), code
    found = {name: list(text_io(tree)) for name, tree in modules(root).items()}
    for path in (*root.glob('data/*.py'), *root.glob('docs/*.py'), root/'setup.py'):
        found[path.name] = list(text_io(ast.parse(path.read_text(encoding='utf-8'))))
    assert not (bad := {k: v for k, v in found.items() if v}), f'text without an encoding: {bad}'

def test_nothing_beside_the_clone(root):
    "Tests run from a clone alone: only `vaults.py` looks for data beside it, and has simulated ones where there are none"
    beside = re.compile('shared/' + r"data|\.parent/['\"]shared")
    found = {p.relative_to(root).as_posix() for top in ('tests', 'nbs', 'fwinb', 'data', 'bench', 'docs') for kind in ('py', 'ipynb', 'yml')
             for p in (root/top).rglob(f'*.{kind}') if not {'_artefacts', '_build', '_src', '_share'} & set(p.parts) and beside.search(p.read_text(encoding='utf-8'))}
    assert found <= {'tests/vaults.py', 'tests/test_house.py'}

def test_valid(notebook):
    "A notebook is what its format says: JupyterLab and the build of the site complain of anything else"
    nbformat = pytest.importorskip('nbformat')
    nbformat.validate(nbformat.from_dict(read(notebook)))
