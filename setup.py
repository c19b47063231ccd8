"Builds from settings.ini; pyproject.toml holds only what pip and nbdev look for there."
import os, shutil
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

root = Path(__file__).parent.resolve()
ini = ConfigParser(interpolation=None)
ini.read(root/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']

def lines(key): return [l.strip() for l in cfg.get(key, '').splitlines() if l.strip()]

extras = {k.removesuffix('_requirements'): lines(k) for k in cfg if k.endswith('_requirements')}
extras['all'] = sorted({r for k,v in extras.items() if k not in ('dev', 'docs', 'gpus') for r in v})

PARTS = 'sample', 'facts', 'weights', 'sensitivity', 'supervision', 'inversion', 'results'   # folders of data/ that the pages read

def shared():
    "What a run needs beside the modules: notebooks, report presets, sample data, facts, committed tables."
    for ending in ('ipynb', 'yml'):
        yield from (p for p in root.glob(f'nbs/**/[!_.]*.{ending}') if not any(d.startswith(('_', '.')) for d in p.relative_to(root).parts))
    yield from (root/'data'/'recipes.yml', root/'data'/'made_with.json')
    for part in PARTS: yield from (p for p in root.glob(f'data/{part}/**/*') if p.is_file())

def repository():
    "Address of the repository, if it is known"
    server, name = os.environ.get('GITHUB_SERVER_URL'), os.environ.get('GITHUB_REPOSITORY')
    return cfg.get('repository', '') or (f'{server}/{name}' if server and name else '')

def project_urls():
    "Links of the page on PyPI"
    url = repository()
    return dict(Source=url, Issues=f'{url}/issues', Changelog=f'{url}/blob/main/CHANGELOG.md') if url else {}

class BuildPy(build_py):
    "Put `shared()` under `fwinb/_share`, so that `../data/sample` seen from `nbs` holds in a wheel too."
    def run(self):
        if self.editable_mode: return super().run()  # the tree itself is the package
        lib = Path(self.build_lib)/'fwinb'
        shutil.rmtree(lib, ignore_errors=True)  # an earlier build's leftovers would go into the wheel
        super().run()
        for p in shared():
            to = lib/'_share'/p.relative_to(root)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(p, to)

readme = root/'README.md'
setup(
    name=cfg['name'], version=cfg['version'], description=cfg['description'], author=cfg['author'],
    license_expression=cfg['license'], keywords=cfg['keywords'].split(), classifiers=lines('classifiers'),
    long_description=readme.read_text(encoding='utf-8') if readme.exists() else '',
    long_description_content_type='text/markdown',
    project_urls=project_urls(), python_requires='>=' + cfg['min_python'], install_requires=lines('requirements'), extras_require=extras,
    packages=find_packages(include=['fwinb', 'fwinb.*']), zip_safe=False, cmdclass={'build_py': BuildPy},
    entry_points={'console_scripts': lines('console_scripts'), 'nbdev': ['fwinb=fwinb._modidx:d']},
)
