"A person's annotations: the file does not lose one, whatever happens; and the Inspector in a real browser, in JupyterLab and under Voila (with --slow)."
import errno, json, os, random, shutil, socket, subprocess, sys, time, urllib.request
from contextlib import contextmanager
from pathlib import Path
import pytest
import fwinb.inspection.annotations as V
from fwinb.inspection.annotations import (append_annotation, append_window_annotation, consensus, kappa, merge_annotations, read_annotations, read_window_annotations,
                                          undo_annotation)

ROOT = Path(__file__).resolve().parent.parent
SHOTS = ROOT/'tests/_artefacts'

# the file

WRITER = '''
import sys
from fwinb.inspection.annotations import append_annotation
for i in range(int(sys.argv[3])): print(append_annotation(sys.argv[1], "E1", f"XX.S{i}..LHZ", i % 5, sys.argv[2])["id"], flush=True)
'''
def writer(path, who, n): return subprocess.Popen([sys.executable, '-W', 'ignore', '-c', WRITER, str(path), who, str(n)], stdout=subprocess.PIPE, text=True)

def lines(path): return [json.loads(x) for x in path.read_bytes().split(b'\n')[:-1]]

def test_kill_at_any_moment(tmp_path):
    "Two writers at once, and one after the other is killed: every annotation that was confirmed is there, no line is broken"
    path, rng, told = tmp_path/'v.jsonl', random.Random(1), set()
    for round in range(4):
        children = [writer(path, f'{who}{round}', 10**6) for who in 'ab']
        for c in children: told.add(c.stdout.readline().strip())
        for c in children:
            time.sleep(rng.uniform(0, .2))
            c.kill()
        for c in children:
            *whole, _ = c.stdout.read().split('\n')
            told |= {t for t in whole if len(t) == 16}
            c.wait()
    append_annotation(path, 'E1', 'XX.END..LHZ', 1, 'Ann')                # cuts off what may be torn
    assert len(told) > 50 and told <= {r['id'] for r in lines(path)}
    assert read_annotations(path).attrs['torn'] == 0

def test_two_processes(tmp_path):
    "200 annotations each at once, and a merge into the same file meanwhile"
    path, third = tmp_path/'v.jsonl', tmp_path/'third.jsonl'
    append_annotation(third, 'E1', 'XX.S0..LHZ', 3, 'Cid')
    children = [writer(path, who, 200) for who in ('Ann', 'Bob')]
    children[0].stdout.readline()
    merge_annotations([third], path)
    for c in children: c.communicate()
    assert read_annotations(path).who.value_counts().to_dict() == dict(Ann=200, Bob=200, Cid=1)
    assert len({r['id'] for r in lines(path)}) == 401

@pytest.mark.parametrize('part', [0, 1, 57, -1])
def test_full_disk(tmp_path, monkeypatch, part):
    "The disk takes a part of the line, then says that it is full"
    path, write = tmp_path/'v.jsonl', os.write
    append_annotation(path, 'E1', 'XX.A..LHZ', 1, 'Ann')
    before, left = path.read_bytes(), [part]
    def full(fd, data):
        if left: return write(fd, data[:left.pop()])
        raise OSError(errno.ENOSPC, 'No space left on device')
    with monkeypatch.context() as m:
        m.setattr(os, 'write', full)
        with pytest.raises(OSError, match='NOT kept.*No space.*v.jsonl'): append_annotation(path, 'E1', 'XX.B..LHZ', 2, 'Ann')
    assert path.read_bytes() == before
    append_annotation(path, 'E1', 'XX.B..LHZ', 2, 'Ann')
    assert read_annotations(path).annotation.tolist() == [1, 2]

def test_full_device():
    "Linux has a disk that is always full"
    if not Path('/dev/full').exists(): pytest.skip('there is no /dev/full')
    fd = os.open('/dev/full', os.O_RDWR)
    try:
        with pytest.raises(OSError) as e: V._write_whole(fd, b'line\n', 0)
    finally: os.close(fd)
    assert e.value.errno in (errno.ENOSPC, errno.EINVAL)               # EINVAL: a device cannot be cut

def test_disk_fails_late(tmp_path, monkeypatch):
    "What was written but cannot be forced to the disk is not kept either"
    path = tmp_path/'v.jsonl'
    append_annotation(path, 'E1', 'XX.A..LHZ', 1, 'Ann')
    before = path.read_bytes()
    def fails(fd): raise OSError(errno.EIO, 'Input/output error')
    with monkeypatch.context() as m:
        m.setattr(os, 'fsync', fails)
        with pytest.raises(OSError, match='NOT kept'): append_annotation(path, 'E1', 'XX.B..LHZ', 2, 'Ann')
    assert path.read_bytes() == before

def test_read_only(tmp_path):
    "A file that may be read and not written: no annotation is kept, and the old ones can be read"
    if not hasattr(os, 'fork'): pytest.skip('this system does not fork')
    path = tmp_path/'v.jsonl'
    append_annotation(path, 'E1', 'XX.A..LHZ', 1, 'Ann')
    path.chmod(0o444)
    for p in (tmp_path, *tmp_path.parents[:3]): p.chmod(p.stat().st_mode | 0o555)   # for nobody, below
    if (pid := os.fork()) == 0:
        try:
            if os.geteuid() == 0: os.seteuid(65534)                    # root may write anything
            try: append_annotation(path, 'E1', 'XX.B..LHZ', 2, 'Ann')
            except PermissionError as e: os._exit(0 if 'NOT kept' in str(e) and len(read_annotations(path)) == 1 else 2)
        finally: os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

def test_hung_program(tmp_path):
    "A program that holds the file and does not go on is not waited for without end"
    path = tmp_path/'v.jsonl'
    append_annotation(path, 'E1', 'XX.A..LHZ', 1, 'Ann')
    with V._locked(path, write=True):
        with pytest.raises(TimeoutError, match='another program'):
            with V._locked(path, write=True, wait=.2): pass
    assert len(read_annotations(path)) == 1

def test_torn(tmp_path):
    path = tmp_path/'v.jsonl'
    ids = [append_annotation(path, 'E1', f'XX.S{i}..LHZ', i, 'Ann')['id'] for i in range(3)]
    whole = path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    for cut in range(1, last):
        path.write_bytes(whole[:-cut])
        there = 3 if cut == 1 else 2                                   # only the end of the line is missing: the annotation is whole
        assert len(read_annotations(path)) == there
        if cut == 1: append_annotation(path, 'E1', 'XX.N..LHZ', 4, 'Ann')
        elif cut < last:
            with pytest.warns(UserWarning, match='cut off'): append_annotation(path, 'E1', 'XX.N..LHZ', 4, 'Ann')
        assert [r['id'] for r in lines(path)][:there] == ids[:there] and len(lines(path)) == there + 1

def test_foreign_word_is_not_cut(tmp_path):
    path = tmp_path/'notes.txt'
    path.write_text('my notes, without an end of line')
    with pytest.raises(ValueError, match='notes.txt, line 1'): append_annotation(path, 'E1', 'XX.A..LHZ', 1, 'Ann')
    assert path.read_text() == 'my notes, without an end of line'

def test_twin_stores(tmp_path):
    "The same person judges other traces of the same event and station: neither annotation hides the other, each is undone by itself"
    path = tmp_path/'v.jsonl'
    first, *_ = (append_annotation(path, 'E1', 'XX.A..LHZ', v, 'Ann', data=d) for v, d in ((1, 'a'), (3, 'b'), (2, 'b')))
    live = lambda: read_annotations(path).set_index('data').annotation.to_dict()
    assert live() == dict(a=1, b=2)
    undo_annotation(path, first['id'], 'Ann')
    assert live() == dict(b=2)
    merge_annotations([path], tmp_path/'all.jsonl')
    append_annotation(tmp_path/'all.jsonl', 'E1', 'XX.A..LHZ', 4, 'Ann', data='a')
    assert read_annotations(tmp_path/'all.jsonl').set_index('data').annotation.to_dict() == dict(a=4, b=2)

@pytest.mark.parametrize('who', [*V.RESERVED, ' truth ', 'Truth', '\tMISFIT', 'Network'])
def test_nobody_is_the_truth(tmp_path, who):
    with pytest.raises(ValueError, match='no name of a person'): append_annotation(tmp_path/'v.jsonl', 'E1', 'XX.A..LHZ', 1, who)
    assert not (tmp_path/'v.jsonl').exists()

def test_kappa_by_hand(tmp_path):
    "Two people, ten pairs of two events: 4 times I and I, 3 times II and II, once I and II, twice II and I"
    path = tmp_path/'v.jsonl'
    for i, (a, b) in enumerate([(1, 1)]*4 + [(2, 2)]*3 + [(1, 2)] + [(2, 1)]*2 + [(0, 2)]):
        for who, v in (('Ann', a), ('Bob', b)): append_annotation(path, f'E{i % 2}', f'XX.S{i}..LHZ', v, who)
    k = kappa(read_annotations(path)).loc[('Ann', 'Bob')]
    chance = (5*6 + 5*4)/100
    assert k['pairs'] == 10 and k['unsure'] == 1 and abs(k['kappa'] - (.7 - chance)/(1 - chance)) < 1e-12

# windows in the file

def test_an_old_file_is_as_before(tmp_path):
    "A file of the version without windows: the same table, byte for byte the same file, and windows go behind it"
    path = tmp_path/'old.jsonl'
    old = '{"id": "a1", "event": "E1", "station": "XX.A..LHZ", "annotation": 2, "who": "Ann", "when": "2026-01-02T03:04:05.000006+00:00", "model": "", "note": "late", "data": "d", "undoes": null}\n'
    path.write_text(old)
    assert read_annotations(path).annotation.tolist() == [2] and len(read_window_annotations(path)) == 0 and path.read_text() == old
    append_window_annotation(path, 'E1', 'XX.A..LHZ', 'refuse', (100, 200), 'Ann', (100, 200), data='d')
    assert path.read_text().startswith(old) and read_annotations(path).annotation.tolist() == [2]
    append_annotation(path, 'E1', 'XX.A..LHZ', 3, 'Ann', data='d')
    assert set(json.loads(path.read_text().splitlines()[-1])) == set(json.loads(old))       # a line about a pair has no new field

def test_windows_and_pairs_do_not_mix(tmp_path):
    "Agreement and consensus on pairs with and without annotations on windows are the same; merging keeps both; one undone leaves the other"
    plain, mixed = tmp_path/'plain.jsonl', tmp_path/'mixed.jsonl'
    for i, (a, b) in enumerate([(1, 1), (2, 2), (1, 2), (3, 3), (4, 1)]):
        for who, v in (('Ann', a), ('Bob', b)):
            for path in (plain, mixed): append_annotation(path, f'E{i % 2}', f'XX.S{i}..LHZ', v, who, data='d')
            for k, decision in enumerate(('accept', 'refuse')): append_window_annotation(mixed, f'E{i % 2}', f'XX.S{i}..LHZ', decision, (100*k, 100*k + 50), who, (100*k, 100*k + 50), data='d')
    one, two = (read_annotations(p) for p in (plain, mixed))
    assert kappa(one).equals(kappa(two)) and consensus(one).equals(consensus(two))
    windows = read_window_annotations(mixed)
    assert len(windows) == 20 and windows.groupby('decision').size().to_dict() == dict(accept=10, refuse=10)
    undo_annotation(mixed, windows.id[0], windows.who[0])
    assert len(read_window_annotations(mixed)) == 19 and len(read_annotations(mixed)) == 10
    undo_annotation(mixed, two.id[0], two.who[0])
    assert len(read_window_annotations(mixed)) == 19 and len(read_annotations(mixed)) == 9
    merge_annotations([mixed, plain], tmp_path/'all.jsonl')
    assert len(read_window_annotations(tmp_path/'all.jsonl')) == 19 and len(read_annotations(tmp_path/'all.jsonl')) == 10

@pytest.mark.parametrize('change', [dict(window=[5, 5]), dict(window=[5]), dict(window=None), dict(window=[5, float('nan')]), dict(window='5'), dict(picked=[3, 1]), dict(annotation=2), dict(annotation='yes'),
                                    dict(drawn='a1', picked=[1, 2]), dict(drawn=5, picked=None)])
def test_broken_window(tmp_path, change):
    path = tmp_path/'v.jsonl'
    append_window_annotation(path, 'E1', 'XX.A..LHZ', 'accept', (1, 2), 'Ann', (1, 2))
    good = path.read_text()
    path.write_text(json.dumps(json.loads(good) | change) + '\n' + good)
    for f in (read_annotations, read_window_annotations, lambda p: append_annotation(p, 'E1', 'XX.A..LHZ', 1, 'Ann')):
        with pytest.raises(ValueError, match='v.jsonl, line 1'): f(path)

# the screen

FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run', '--disable-quic']

@pytest.fixture(scope='module')
def chromium(request):
    if not request.config.getoption('--slow'): pytest.skip('a browser is started with --slow only')
    api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    program = next((p for k in ('chromium', 'chromium-browser', 'google-chrome') if (p := shutil.which(k))), None)
    with api.sync_playwright() as p:
        if program is None and not Path(p.chromium.executable_path).exists(): pytest.skip('there is no Chromium')
        browser = p.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()

@pytest.fixture(scope='module')
def store(tmp_path_factory):
    from fwinb.inspection.disagreements import judged_pairs
    from fwinb.pairs.store import save_pairs
    from fwinb.earth.simulate import simulate_pairs
    return save_pairs(judged_pairs(simulate_pairs(150, seed=83, earths=1, progress=False)), tmp_path_factory.mktemp('store')/'pairs.zarr')

def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]

@contextmanager
def server(kind, folder, store, who='Ann', windows=''):
    "JupyterLab or Voila on a copy of the app, with a home of its own; gives address and annotation file"
    for name in ('inspector', 'second'): shutil.copy(ROOT/'nbs/inspector.ipynb', folder/f'{name}.ipynb')
    home, port, annotations = folder/'home', free_port(), folder/'annotations.jsonl'
    news = home/'settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings'
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    env = dict(os.environ, HOME=str(home), JUPYTER_CONFIG_DIR=str(home/'config'), JUPYTER_RUNTIME_DIR=str(home/'run'), JUPYTER_DATA_DIR=str(home/'data'), IPYTHONDIR=str(home/'ipython'), JUPYTERLAB_SETTINGS_DIR=str(home/'settings'),
               JUPYTERLAB_WORKSPACES_DIR=str(home/'workspaces'), FWINB_PAIRS=str(store), FWINB_ANNOTATIONS=str(annotations), FWINB_ANNOTATOR=who, FWINB_WINDOWS=windows, PYTHONPATH=str(ROOT))
    env.pop('MPLBACKEND', None)
    command = dict(lab=['jupyterlab', '--no-browser', '--allow-root', '--ServerApp.ip=127.0.0.1', f'--ServerApp.port={port}', '--IdentityProvider.token=t', f'--ServerApp.root_dir={folder}'],
                   voila=['voila', '--no-browser', f'--port={port}', '--Voila.ip=127.0.0.1', str(folder/'inspector.ipynb')])[kind]
    with (folder/f'{kind}.log').open('w') as log: child = subprocess.Popen([sys.executable, '-m', *command], cwd=folder, env=env, stdout=log, stderr=log)
    try:
        address = f'http://127.0.0.1:{port}'
        for _ in range(240):
            if child.poll() is not None: raise RuntimeError((folder/f'{kind}.log').read_text()[-2000:])
            try: socket.create_connection(('127.0.0.1', port), 1).close(); break
            except OSError: time.sleep(.25)
        yield address, annotations
    finally:
        child.terminate()
        try: child.wait(20)
        except subprocess.TimeoutExpired: child.kill()

def menu(page, *names):
    page.get_by_role('menuitem', name=names[0], exact=True).first.click()
    for n in names[1:]: page.locator('.lm-Menu-item', has_text=n).first.click()

def start(page, kind, address, name='inspector'):
    "Open the app and wait until the first pair is there"
    if kind == 'voila': page.goto(address)
    else:
        page.goto(f'{address}/doc/tree/{name}.ipynb?token=t')
        page.wait_for_selector('.jp-Notebook .jp-Cell')
        page.wait_for_selector('[title*="Idle"], [data-status="idle"], .jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=90_000)
        page.locator('.jp-Notebook .jp-Cell').first.click()
        menu(page, 'Run', 'Run All Cells')
    page.wait_for_selector('.fwinb-inspector .fwinb-picture', timeout=120_000)

def step(page): return page.locator('.fwinb-step').first.get_attribute('data-step')

def act(page, do):
    "Do something, and wait until the screen has answered"
    page.wait_for_timeout(350)                                         # nobody is faster; a press that is would be ignored
    before = step(page)
    do()
    page.wait_for_function(f"document.querySelector('.fwinb-step').dataset.step != {before!r}", timeout=30_000)
    return page.locator('[role=status]').first.inner_text()

def press(page, key): return act(page, lambda: page.keyboard.press(key))
def click(page, name): return act(page, lambda: page.locator(f'.fwinb-{name}').first.click())
def status(page): return page.locator('.fwinb-inspector .fwinb-bar').locator('..').first.inner_text()
def shown(page): return page.locator('.fwinb-picture').first.get_attribute('alt')

def shoot(page, name):
    SHOTS.mkdir(exist_ok=True)
    page.mouse.move(5, 5)
    page.locator('.fwinb-inspector').first.evaluate('e => e.scrollIntoView()')
    page.wait_for_timeout(500)
    page.screenshot(path=SHOTS/f'{name}.png')

@pytest.mark.parametrize('kind', ['lab', 'voila'])
def test_browser(kind, chromium, store, tmp_path):
    if kind == 'voila': pytest.importorskip('voila')
    with server(kind, tmp_path, store) as (address, path):
        context = chromium.new_context(viewport=dict(width=1280, height=1000))
        page = context.new_page()
        start(page, kind, address)
        first = shown(page)
        assert 'Pair 1 of' in first
        cells = page.locator('.jp-Notebook .jp-Cell').count()

        assert 'Class II, kept' in click(page, 'class-2')              # by click
        assert 'Class III, kept' in press(page, '3')                   # by key
        third = shown(page)
        note = page.locator('.fwinb-note input').first
        note.click()
        page.keyboard.type('u1z x late')                               # keys in a note are letters
        page.keyboard.press('Enter')
        assert 'unsure, kept' in press(page, 'u')
        live = read_annotations(path)
        assert (live.annotation.tolist(), live.note.tolist()[-1], set(live.who)) == ([2, 3, 0], 'u1z x late', {'Ann'})
        assert '3 of' in status(page)

        assert 'taken back' in press(page, 'z')                        # undo
        assert shown(page) == third and read_annotations(path).annotation.tolist() == [2, 3]
        for key in ('x', 'd', 'd', 'a', '7'): page.keyboard.press(key) # JupyterLab would cut, delete and add cells
        page.wait_for_timeout(300)
        assert page.locator('.jp-Notebook .jp-Cell').count() == cells and read_annotations(path).attrs['lines'] == 4
        assert 'Class IV, kept' in press(page, '4')
        act(page, lambda: page.locator('.fwinb-class-1').first.dblclick())   # the second click is not for the next pair
        page.wait_for_timeout(1500)
        assert read_annotations(path).annotation.tolist() == [2, 3, 4, 1]
        press(page, 'ArrowLeft')
        assert 'You said Class I ' in page.locator('[role=status]').first.inner_text()
        shoot(page, f'inspector_{kind}')
        press(page, 'n')
        act(page, lambda: page.locator('.fwinb-inspector select').first.select_option('Class III (either)'))
        shoot(page, f'inspector_{kind}_class3')
        third_class = status(page)

        def again():
            assert '4 of' in status(page) and 'Pair 5 of' in shown(page) and third_class != status(page)
        page.reload()                                                  # the page, then the kernel
        start(page, kind, address)
        again()
        if kind == 'lab':
            menu(page, 'Kernel', 'Restart Kernel and Run All Cells')
            page.locator('.jp-Dialog button', has_text='Restart').last.click()
            page.wait_for_selector('.fwinb-picture', state='detached', timeout=60_000)
            page.wait_for_selector('.fwinb-picture', timeout=120_000)
            again()

        other = context.new_page()                                     # a second tab of the same person
        start(other, kind, address, 'second')
        fifth = shown(page)
        assert shown(other) == fifth
        click(other, 'class-1'); click(page, 'next'); click(page, 'class-2')
        assert 'in another tab you said Class II meanwhile' in click(other, 'class-3')
        click(other, 'next'); click(other, 'class-3')
        assert read_annotations(path).annotation.tolist() == [2, 3, 4, 1, 1, 2, 3] and '7 of' in status(other)
        press(page, 'p')
        assert '7 of' in status(page)
        context.close()
    assert read_annotations(path).attrs == dict(lines=9, undone=1, torn=0)

def test_browser_asks_for_the_name(chromium, store, tmp_path):
    pytest.importorskip('voila')
    with server('voila', tmp_path, store, who='') as (address, path):
        page = chromium.new_page(viewport=dict(width=1280, height=1000))
        page.goto(address)
        page.get_by_role('button', name='begin').click(timeout=120_000)
        page.get_by_text('needs a name').wait_for()
        page.get_by_placeholder('your name').fill('Łukasz')
        page.get_by_role('button', name='begin').click()
        page.wait_for_selector('.fwinb-picture', timeout=60_000)
        path.mkdir()                                                   # nobody can write there
        said = press(page, '2')
        assert 'NOT kept' in said and 'annotations.jsonl' in said and 'Pair 1 of' in shown(page)
        shoot(page, 'inspector_error')
        path.rmdir()
        assert 'kept' in press(page, '2') and read_annotations(path).who.tolist() == ['Łukasz']
        page.close()

def windows_shown(page): return [t.replace('\xa0', ' ') for t in page.locator('.fwinb-window-menu option').all_inner_texts()]

@pytest.mark.parametrize('kind', ['lab', 'voila'])
def test_browser_windows(kind, chromium, store, tmp_path):
    "By keys and by mouse: accept, refuse, move an edge, draw a window, undo; the page comes back as it was left"
    if kind == 'voila': pytest.importorskip('voila')
    with server(kind, tmp_path, store, windows='pick') as (address, path):
        page = chromium.new_page(viewport=dict(width=1280, height=1150))
        start(page, kind, address)
        for _ in range(20):
            if len(windows_shown(page)) > 1: break
            click(page, 'next')                                        # JupyterLab has the keys until the Inspector is clicked
        first, pair = windows_shown(page), shown(page).split(';')[0]
        assert len(first) > 1 and 'Window 1' in press(page, 'r') and 'refused by you' in windows_shown(page)[0]
        act(page, lambda: page.keyboard.press('['))
        assert 'accepted, kept' in press(page, 'a') and 'accepted by you' in windows_shown(page)[0]
        edge = page.locator('.fwinb-edge input').nth(0)
        edge.click(); edge.fill(str(float(edge.input_value()) + 20))
        assert 'is now at' in act(page, lambda: page.keyboard.press('Enter'))
        said = read_window_annotations(path)
        moved = said[said.start_s != said.picked_start_s]
        assert len(moved) == 1 and abs(moved.start_s - moved.picked_start_s - 20).item() < 1
        for key, sign in (('ArrowUp', 1), ('ArrowDown', -1)):          # one sample
            before = float(edge.input_value())
            edge.click(); act(page, lambda: page.keyboard.press(key))
            assert abs(float(edge.input_value()) - before - sign*1800/1024) < .02
        act(page, lambda: page.locator('.fwinb-window-menu select').select_option(index=0))
        act(page, lambda: page.keyboard.press(']')); press(page, '[')  # the keys work after the menu
        before = edge.input_value()
        edge.click(); edge.fill('99999')
        assert 'NOT kept' in act(page, lambda: page.keyboard.press('Enter')) and edge.input_value() == before
        act(page, lambda: page.locator('.fwinb-new-window').click())
        for k, t in ((1, '150'), (0, '20')):
            page.locator('.fwinb-edge input').nth(k).click(); page.locator('.fwinb-edge input').nth(k).fill(t)
            act(page, lambda: page.keyboard.press('Enter'))
        shoot(page, f'inspector_{kind}_new_window')
        assert 'accepted, kept' in press(page, 'a') and len(windows_shown(page)) == len(first) + 1
        drawn = read_window_annotations(path).iloc[-1]
        assert abs(drawn.start_s - 20) < 1 and abs(drawn.end_s - 150) < 1
        shoot(page, f'inspector_{kind}_windows')
        last = windows_shown(page)
        page.reload(); start(page, kind, address)
        number = lambda text: int(text.split()[1])                     # it begins at the first pair that is not looked at
        while (k := number(shown(page)) - number(pair)): click(page, 'previous' if k > 0 else 'next')
        assert windows_shown(page) == last
        press(page, 'z')
        assert len(windows_shown(page)) == len(first)
        assert 'kept' in press(page, '2') and read_annotations(path).annotation.tolist() == [2]   # keys of classes as before
        page.close()
