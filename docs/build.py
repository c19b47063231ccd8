"""Build the site: `make docs`. Notebooks, README and an API page per module become HTML in docs/_build/html, without a network.

The pages are copies of the committed notebooks with their stored outputs, so nothing is run. Cells marked `#| hide` and
the marks of nbdev are left out. API pages list the public functions of a module with their docments."""
import ast, importlib, inspect, io, json, os, re, shutil, subprocess, sys, tokenize
from configparser import ConfigParser
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
SRC, SITE = ROOT/'docs'/'_src', ROOT/'docs'/'_build'/'html'
PACKAGES = dict(pairs='Pairs: contract, store, plots', data='Data: archives and data centres', earth='Earth: modes and simulated pairs',
                labels='Labels: misfit and truth', features='Features', models='Models', inspection='Inspection', adjoint='Adjoint sources and weights', inversion='Inversion',
                commands='Commands and report')

def repository():
    "Address of the repository: settings.ini, or where GitHub's workflow runs; empty: not known"
    ini = ConfigParser(interpolation=None)
    ini.read(ROOT/'settings.ini', encoding='utf-8')
    server, name = os.environ.get('GITHUB_SERVER_URL'), os.environ.get('GITHUB_REPOSITORY')
    return ini['DEFAULT'].get('repository', '') or (f'{server}/{name}' if server and name else '')

def cell_source(cell): return ''.join(cell['source'])

def clean_notebook(path):
    "The notebook as a reader of the site sees it"
    nb = json.loads(path.read_text(encoding='utf-8'))
    cells = []
    for cell in nb['cells']:
        text = cell_source(cell)
        if cell['cell_type'] == 'code':
            marks = re.findall(r'^#\|\s*(\w+)', text, re.M)
            if {'hide', 'default_exp'} & set(marks): continue
            text = re.sub(r'^#\|.*\n?', '', text, flags=re.M)
        else:
            text = re.sub(r'\[([^\]]+)\]\((\.\./)*(index|inspector)\.ipynb\)', r'\1', text)     # no pages of their own
            text = re.sub(r'[ \n]*\$\$(.+?)\$\$[ \n]*', r'\n\n$$\1$$\n\n', text, flags=re.S)       # formulas in paragraphs of their own
        text = re.sub(r'\]\(([\w./]*)#([\w-]+)\)', lambda m: f']({m[1]}#{m[2].lower()})', text)      # anchors of Sphinx are in small letters
        cells.append(dict(cell, source=text, **({'outputs': [without_run(o) for o in cell['outputs']]} if cell.get('outputs') else {})))
    return dict(nb, cells=cells)

def without_run(output):
    "An output whose links into the folder of a run are text: the site has no such folder"
    html = output.get('data', {}).get('text/html')
    if not html: return output
    text = re.sub(r'<a [^>]*href="_artefacts/[^"]*"[^>]*>(.*?)</a>', r'\1', ''.join(html), flags=re.S)
    return dict(output, data=output['data'] | {'text/html': text})

def title_of(nb):
    "First heading of a notebook"
    return next(m[1] for c in nb['cells'] if (m := re.match(r'# (.+)', cell_source(c))))

def copy_notebooks(paths):
    "Copies of notebooks under SRC, in the same tree as below nbs/"
    for path in paths:
        to = SRC/path.relative_to(ROOT/'nbs')
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(json.dumps(clean_notebook(path), ensure_ascii=False), encoding='utf-8')

def chain_as_list(text):
    "A Mermaid flowchart of one row of boxes as an HTML list"
    def as_list(m):
        boxes = sorted(re.findall(r'(\w+)\["?([^\]"]+)"?\]', m[1]))      # nodes are lettered in reading order
        return '<ol class="chain">' + ''.join(f'<li>{text}</li>' for _, text in boxes) + '</ol>'
    return re.sub(r'```mermaid\n(.*?)```', as_list, text, flags=re.S)

def write_index():
    "index.md from README.md, with the contents of the sidebar"
    text = chain_as_list((ROOT/'README.md').read_text(encoding='utf-8'))
    text = re.sub(r'\]\(nbs/([^)]+)\.ipynb\)', r'](\1.ipynb)', text)
    for name in ('CHANGELOG.md', 'CONTRIBUTING.md'): shutil.copy(ROOT/name, SRC/name)
    text = re.sub(r'\[([^\]]+)\]\((CITATION\.cff|LICENSE)\)', r'\1', text)
    lane = sorted(p.stem for p in SRC.glob('[0-9]*.ipynb'))
    short = [f'{k[:2]} {k[3:].capitalize().replace("Resnet", "ResNet")} <{k}>' for k in lane]
    groups = {'Study': [*short, 'Results <results>'], 'Use': ['Guide <guide>', 'CONTRIBUTING', 'CHANGELOG']}
    groups['Library'] = [f'{k}/index' for k in PACKAGES]
    groups['API'] = ['api/index']
    trees = [f'```{{toctree}}\n:hidden:\n:caption: {k}\n\n' + '\n'.join(v) + '\n```\n' for k, v in groups.items()]
    (SRC/'index.md').write_text(text + '\n\n' + '\n'.join(trees), encoding='utf-8')

def write_package_indexes():
    "A page per folder of library notebooks"
    for package, title in PACKAGES.items():
        pages = sorted(p.stem for p in (SRC/package).glob('[0-9]*.ipynb'))
        (SRC/package/'index.md').write_text(f'# {title}\n\n```{{toctree}}\n:maxdepth: 1\n\n' + '\n'.join(pages) + '\n```\n', encoding='utf-8')

def cell(text): return ' '.join(str(text or '').replace('|', '\\|').split())

def annotation(x):
    "A type as one writes it"
    if x in (inspect.Parameter.empty, None): return ''
    return x.__name__ if isinstance(x, type) else str(x).replace('typing.', '')

def docments_of(f):
    "Comment of each argument, and of what is returned; arguments on one line share it (fastcore's own fails on defaults that are arrays)"
    source = inspect.cleandoc('\n' + inspect.getsource(f))
    node = next(n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {t.start[0]: t.string.lstrip('# ') for t in tokens if t.type == tokenize.COMMENT and t.start[0] < node.body[0].lineno}
    a = node.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *([a.vararg] if a.vararg else []), *([a.kwarg] if a.kwarg else [])]
    notes = {x.arg: comments.get(x.lineno, '') for x in every}
    last = max([x.lineno for x in every], default=node.lineno)
    notes['return'] = next((c for line, c in comments.items() if line > last or not every), '')
    return notes

def function_as_markdown(name, f):
    "Signature, docstring and table of docments"
    notes, sig = docments_of(f), inspect.signature(f)
    lines = [f'## {name}', '', f'*{cell(inspect.getdoc(f))}*', '', '| argument | type | default | meaning |', '|---|---|---|---|']
    for k, p in sig.parameters.items():
        default = '' if p.default is inspect.Parameter.empty else f'`{cell(repr(p.default))[:60]}`'
        lines.append(f'| `{k}` | {cell(annotation(p.annotation))} | {default} | {cell(notes.get(k))} |')
    lines.append(f'| **returns** | {cell(annotation(sig.return_annotation))} | | {cell(notes.get("return"))} |')
    return '\n'.join(lines) + '\n'

def class_as_markdown(name, c):
    "Docstring and fields of a class"
    text, fields = f'## {name}\n\n*{cell(c.__doc__)}*\n', getattr(c, '_fields', ())
    return text + (f'\nFields: {", ".join(f"`{k}`" for k in fields)}\n' if fields else '')

def write_api():
    "A page per module"
    (SRC/'api').mkdir()
    names = []
    for path in sorted((ROOT/'fwinb').rglob('[!_]*.py')):
        if '_share' in path.parts: continue
        name = '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        module = importlib.import_module(name)
        parts = [f'# {name}\n', f'{cell(module.__doc__)}\n']
        for k in module.__all__:
            x = getattr(module, k)
            if inspect.isfunction(x) and x.__module__ == name: parts.append(function_as_markdown(k, x))
            elif inspect.isclass(x) and x.__module__ == name: parts.append(class_as_markdown(k, x))
        (SRC/'api'/f'{name}.md').write_text('\n'.join(parts), encoding='utf-8')
        names.append(name)
    (SRC/'api'/'index.md').write_text('# API\n\n```{toctree}\n:maxdepth: 1\n\n' + '\n'.join(names) + '\n```\n', encoding='utf-8')

class Links(HTMLParser):
    "Links and anchors of a page"
    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = set(), set()
        self.feed(text)
    def handle_starttag(self, tag, attrs):
        for k, v in attrs:
            if k == 'id': self.anchors.add(v)
            if v and (k, tag) in {('href', 'a'), ('href', 'link'), ('src', 'img'), ('src', 'script')}: self.links.add(v)

def dead_links(site):
    "Links and pictures of the site that lead nowhere, as 'page: link'"
    pages = {p: Links(p.read_text(encoding='utf-8')) for p in site.rglob('*.html')}
    for page, found in pages.items():
        for link in sorted(found.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc: continue
            to = (page.parent/unquote(parts.path)).resolve() if parts.path else page
            fragment = unquote(parts.fragment)
            if not to.is_file() or (fragment and to in pages and fragment not in pages[to].anchors): yield f'{page.relative_to(site)}: {link}'

def main():
    for old in (SRC, SITE.parent): shutil.rmtree(old, ignore_errors=True)     # a page of an earlier build would hide a dead link
    SRC.mkdir(parents=True)
    skip = {'_artefacts', '.ipynb_checkpoints'}
    notebooks = [p for p in (ROOT/'nbs').rglob('*.ipynb') if not skip & set(p.parts) and p.stem not in ('index', 'inspector')]
    copy_notebooks(notebooks)
    for p in (ROOT/'figures').glob('*.png'): (SRC/'figures').mkdir(exist_ok=True); shutil.copy(p, SRC/'figures'/p.name)
    write_package_indexes(); write_api(); write_index()
    env = dict(os.environ, FWINB_REPOSITORY=repository())
    command = [sys.executable, '-m', 'sphinx', '-q', '-W', '--keep-going', '-c', ROOT/'docs', '-d', ROOT/'docs'/'_build'/'doctrees', SRC, SITE]
    if subprocess.run(command, env=env).returncode: sys.exit('the site has the faults above')
    if dead := list(dead_links(SITE)): sys.exit('links that lead nowhere:\n  ' + '\n  '.join(dead))
    print(f'site: {SITE/"index.html"}')

if __name__ == '__main__': main()
