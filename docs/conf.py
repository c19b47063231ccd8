"Sphinx settings; `make docs` (docs/build.py) gathers the pages and calls Sphinx."
import os
from configparser import ConfigParser
from pathlib import Path

ini = ConfigParser(interpolation=None)
ini.read(Path(__file__).resolve().parent.parent/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']

project, release, author = cfg['name'], cfg['version'], cfg['author']
copyright = author
html_title = f'{project} {release}'

extensions = ['myst_nb', 'sphinx_copybutton', 'sphinx-mathjax-offline']
myst_enable_extensions = ['dollarmath', 'amsmath', 'attrs_inline']
myst_heading_anchors = 3
nb_execution_mode = 'off'           # the outputs are those of the committed notebooks
nb_merge_streams = True
suppress_warnings = ['mystnb.unknown_mime_type', 'myst.header']   # a notebook may skip a level of headings
exclude_patterns = ['_build']

html_theme = 'furo'
html_static_path = ['_static']
html_css_files = ['site.css']
repository = os.environ.get('FWINB_REPOSITORY', '')
html_theme_options = dict(source_repository=repository, source_branch='main', source_directory='nbs/') if repository else {}
