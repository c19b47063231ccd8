"""Keep the tables of `make paper` in data/, and note beside all tables what made them.

    python data/keep_tables.py RUN                             # after `fwinb-report paper --out RUN`: copies its tables, and notes them
    python data/keep_tables.py --note TABLE... --by SCRIPT     # notes tables that a script or a notebook of this tree has just written
    python data/keep_tables.py --commits                       # notes every table that has no note by the commit that last changed it

data/made_with.json holds a line for each table: its SHA-256, and what made it: a notebook or script (`by`), the digest of its code and of all
modules of fwinb that it imports (`code`), the time, fwinb's version and the commit. A table of `--commits` has the commit alone: its code was not recorded
when it was made. tests/test_house.py compares the tables with their notes.
"""
import argparse, hashlib, json, shutil, subprocess, time
from pathlib import Path

from fwinb.pairs.store import atomic_path
from fwinb.report import code_digest, finished, load_preset, notebook_cells, software_versions

TOP = Path(__file__).resolve().parent.parent
NOTES, FOLDERS = TOP/'data'/'made_with.json', ('inversion', 'results', 'sensitivity', 'supervision', 'weights')
KEPT = {'resnet': {'history.csv': 'study.csv', 'scores.csv': 'study_scores.csv'},
        'sensitivity': {k: k for k in ('sweep.csv', 'history.csv', 'effects.csv', 'claims.csv')}}    # stage -> its tables in data/sensitivity

def sha256(path): return hashlib.sha256(path.read_bytes()).hexdigest()

def tables():
    "All tables of data/ that somebody computed"
    return sorted(p for k in FOLDERS for p in (TOP/'data'/k).rglob('*.csv'))

def read(): return json.loads(NOTES.read_text(encoding='utf-8')) if NOTES.exists() else {}

def write(notes):
    there = {str(p.relative_to(TOP/'data')) for p in tables()}
    with atomic_path(NOTES) as tmp: tmp.write_text(json.dumps({k: notes[k] for k in sorted(notes) if k in there}, indent=1) + '\n', encoding='utf-8')

def note(paths, by, code=None, made=None, versions=None):
    "Note what made these tables; `by` is relative to the top"
    source = TOP/by
    if code is None:
        text = '\n'.join(c['source'] for c in notebook_cells(source) if c['cell_type'] == 'code') if source.suffix == '.ipynb' else source.read_text(encoding='utf-8')
        code = code_digest(text)
    versions = versions or software_versions()
    what = dict(by=str(by), code=code, made=made or time.strftime('%Y-%m-%d %H:%M:%S'), fwinb=versions['fwinb'], commit=versions['commit'])
    write(read() | {str(Path(p).resolve().relative_to(TOP/'data')): dict(sha256=sha256(Path(p)), **what) for p in paths})

def keep(run):
    "The tables of a run of the preset `paper`"
    stages = {s.name: s for s in load_preset('paper', run)}
    records = {k: finished(stages[k], run) for k in KEPT}
    if lacking := [k for k, r in records.items() if not r]: raise SystemExit(f'{run}: not finished: {", ".join(lacking)}')
    for name, files in KEPT.items():
        paths = [TOP/'data'/'sensitivity'/new for new in files.values()]
        for old, path in zip(files, paths): shutil.copy(Path(run)/name/old, path)
        note(paths, stages[name].notebook.relative_to(TOP), *(records[name][k] for k in ('code', 'finished', 'versions')))
        print(name, *(p.name for p in paths))

def git(*words): return subprocess.run(['git', '-C', str(TOP), *words], capture_output=True, text=True, encoding='utf-8', check=True).stdout

def commits():
    "Tables without a note, or changed since"
    notes = read()
    for p in tables():
        name, digest = str(p.relative_to(TOP/'data')), sha256(p)
        if notes.get(name, {}).get('sha256') == digest: continue
        if git('status', '--porcelain', '--', str(p)): raise SystemExit(f'{name} is not as it was committed: name what made it with --note and --by')
        last = git('log', '-1', '--format=%h %cs', '--', str(p)).split()
        notes[name] = dict(sha256=digest, commit=last[0], made=last[1])
    write(notes)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('run', nargs='?', type=Path, help='folder of a run of the preset paper')
    p.add_argument('--note', nargs='+', type=Path, metavar='TABLE', help='tables of data/')
    p.add_argument('--by', help='the script or notebook that wrote them, from the top level')
    p.add_argument('--commits', action='store_true', help='note the others by their commits')
    a = p.parse_args()
    if bool(a.note) != bool(a.by): p.error('--note and --by belong together')
    if a.run: keep(a.run)
    if a.note: note(a.note, a.by)
    if a.commits: commits()
