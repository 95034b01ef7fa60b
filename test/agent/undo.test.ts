import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createResourceKinds } from '../../agent/actions/index.ts';
import type { Host } from '../../agent/host/host.ts';
import { type Image, lost } from '../../agent/undo/image.ts';
import { judge } from '../../agent/undo/judge.ts';
import type { Hands } from '../../agent/undo/resource.ts';
import { UndoStore } from '../../agent/undo/store.ts';
import type { ActionKind } from '../../shared/actions/index.ts';
import { crash } from '../../shared/crash.ts';
import { fakeSystemd } from '../support/fake-systemd.ts';
import { realHost } from '../support/real-host.ts';
import { failure, Node } from '../support/undo-node.ts';

const isRoot = process.getuid?.() === 0;

/** Everything below a folder: kind, mode, owner, content or target. */
function picture(root: string): string {
  const format = '%P %y %m %U %G %l\\n';
  const list = execFileSync('find', [root, '-mindepth', '1', '-printf', format], { encoding: 'utf8' });
  const sums = execFileSync('sh', ['-c', 'find . -type f -exec sha256sum {} + | sort -k2'], {
    cwd: root,
    encoding: 'utf8',
  });
  return `${list.split('\n').sort().join('\n')}\n${sums}`;
}

t.test('files and folders of several steps are as before, byte by byte, undone in reverse', async (t) => {
  const dir = t.testdir({
    etc: { changed: 'old\n', removed: 'gone?\n', moded: 'x', tree: { a: { b: 'deep' }, c: 'top' } },
  });
  const etc = join(dir, 'etc');
  chmodSync(join(etc, 'changed'), 0o640);
  chmodSync(join(etc, 'moded'), 0o600);
  chmodSync(join(etc, 'tree/a'), 0o500);
  symlinkSync('../changed', join(etc, 'tree/link'));
  writeFileSync(join(etc, 'binary'), Buffer.from([0, 255, 10, 13, 128]));
  if (isRoot) for (const name of ['changed', 'tree/c']) chownSync(join(etc, name), 65534, 65534);
  const before = picture(etc);
  const node = new Node(dir);
  const owner = isRoot ? { owner: 0, group: 0 } : {};
  const steps: [string, ActionKind, object][] = [
    ['changed', 'file', { path: join(etc, 'changed'), content: 'new\n', mode: '0600', ...owner }],
    ['binary', 'file', { path: join(etc, 'binary'), content: 'text' }],
    ['removed', 'file', { path: join(etc, 'removed'), state: 'absent' }],
    ['moded', 'file', { path: join(etc, 'moded'), mode: '0755' }],
    ['made', 'directory', { path: join(etc, 'new/deep/er'), mode: '0700' }],
    ['in-made', 'file', { path: join(etc, 'new/deep/er/f'), content: 'in it' }],
    ['moded-folder', 'directory', { path: join(etc, 'tree/a'), mode: '0711' }],
    ['no-tree', 'directory', { path: join(etc, 'tree'), state: 'absent', recursive: true }],
    ['again', 'file', { path: join(etc, 'changed'), content: 'newer\n' }],
  ];
  for (const [task, kind, input] of steps) t.equal((await node.do('r1', kind, input, task)).changed, true, task);
  t.same(
    readdirSync(join(node.state, 'undo/contents')).map(
      (name) => statSync(join(node.state, 'undo/contents', name)).mode & 0o777,
    ),
    readdirSync(join(node.state, 'undo/contents')).map(() => 0o600),
  );
  node.restart();
  const again = await node.undo('r1', 'again');
  t.match(again, { changed: true, output: { restored: [`file ${join(etc, 'changed')}`] } });
  t.match(
    again.diffs[0]?.unified,
    /-\[6 bytes, not shown: .*\n\+\[4 bytes, /,
    'what it does is shown, as far as all may see it',
  );
  for (const [task] of steps.toReversed()) await node.undo('r1', task);
  t.equal(picture(etc), before);
  t.same(
    readdirSync(join(node.state, 'undo')).filter((name) => name.endsWith('.json')),
    [],
    'nothing is remembered of what is as it was',
  );
  t.same(readdirSync(join(node.state, 'undo/contents')), []);
  t.match(await node.undo('r1', 'changed'), { changed: false, output: { restored: [] } }, 'nothing remembered');
});

t.test('what somebody changed meanwhile is left, named, and goes on once it is as before', async (t) => {
  const dir = t.testdir({ a: 'old a', b: 'old b' });
  const [a, b] = [join(dir, 'a'), join(dir, 'b')];
  const node = new Node(dir);
  for (const [item, path] of [a, b].entries()) await node.do('r1', 'file', { path, content: 'kk' }, 'both', item);
  writeFileSync(a, 'by hand');
  const conflict = await failure(node.undo('r1', 'both'));
  t.match(conflict, { code: 'UNDO_CONFLICT', message: new RegExp(a), remedy: /by hand/ });
  t.notMatch(
    conflict?.message,
    /[0-9a-f]{64}/,
    'a digest of what may be secret is evidence, which sensitive steps keep',
  );
  const kept = /before it was (.+)$/m.exec(conflict?.evidence ?? '')?.[1] ?? '';
  t.equal(readFileSync(kept, 'utf8'), 'old a', 'the evidence says where the old content is');
  t.equal(readFileSync(b, 'utf8'), 'kk', 'nothing of the step is undone by halves');
  writeFileSync(a, 'old a');
  t.match(await node.undo('r1', 'both'), { changed: true, output: { restored: [`file ${b}`] } });
  t.equal(readFileSync(b, 'utf8'), 'old b');

  await node.do('r2', 'file', { path: a, content: 'two' }, 'x');
  await node.do('r3', 'file', { path: a, content: 'three' }, 'x');
  t.match(await failure(node.undo('r2', 'x')), { code: 'UNDO_CONFLICT' }, 'a later run has changed the same');
  await node.undo('r3', 'x');
  await node.undo('r2', 'x');
  t.equal(readFileSync(a, 'utf8'), 'old a');

  await node.do('r4', 'file', { path: a, mode: '0600' }, 'x');
  chmodSync(a, 0o777);
  t.match(await failure(node.undo('r4', 'x')), { code: 'UNDO_CONFLICT', message: /mode is 0777; the run left 0600/ });
  const made = join(dir, 'made');
  await node.do('r5', 'directory', { path: made }, 'x');
  writeFileSync(join(made, 'theirs'), '');
  t.match(await node.undo('r5', 'x'), { changed: false, output: { left: [/not empty/] } });
  t.ok(existsSync(join(made, 'theirs')));
});

t.test('two attempts of a step, and what is not what was meant between them', async (t) => {
  const dir = t.testdir({ a: 'old' });
  const path = join(dir, 'a');
  const node = new Node(dir);
  for (const content of ['first', 'second']) await node.do('r1', 'file', { path, content }, 'x');
  await node.undo('r1', 'x');
  t.equal(readFileSync(path, 'utf8'), 'old', 'one undo for both');
  await node.do('r2', 'file', { path, content: 'first' }, 'x');
  writeFileSync(path, 'by hand');
  await node.do('r2', 'file', { path, content: 'second' }, 'x');
  t.match(await failure(node.undo('r2', 'x')), { code: 'UNDO_CONFLICT' }, 'kk covered what a person wrote');
  t.equal(readFileSync(path, 'utf8'), 'second');
});

t.test('a crash at any point of a change or of its undoing leaves an undo that does the right thing', async (t) => {
  class Crash extends Error {}
  const dir = t.testdir();
  const etc = join(dir, 'etc');
  let number = 0;
  const fresh = (): { node: Node; before: string } => {
    number += 1;
    const home = join(dir, String(number));
    mkdirSync(join(home, 'etc/tree'), { recursive: true });
    for (const name of ['a', 'gone', 'tree/x']) writeFileSync(join(home, 'etc', name), `old ${name}`);
    return { node: new Node(home), before: picture(join(home, 'etc')) };
  };
  t.notOk(existsSync(etc));
  const inputs = (): [ActionKind, object][] => {
    const at = join(dir, String(number), 'etc');
    return [
      ['file', { path: join(at, 'a'), content: 'new', mode: '0600' }],
      ['file', { path: join(at, 'gone'), state: 'absent' }],
      ['file', { path: join(at, 'new'), content: 'new' }],
      ['directory', { path: join(at, 'p/q'), mode: '0700' }],
      ['directory', { path: join(at, 'tree'), state: 'absent', recursive: true }],
    ];
  };
  const crashing = async (at: number, work: () => Promise<unknown>): Promise<boolean> => {
    let passed = 0;
    crash.arm((point) => {
      passed += 1;
      if (passed === at) throw new Crash(point);
    });
    try {
      await work();
      return false;
    } catch (thrown) {
      if (!(thrown instanceof Crash)) throw thrown;
      return true;
    } finally {
      crash.arm(undefined);
    }
  };
  for (const phase of ['change', 'undo'] as const) {
    for (let kind = 0; kind < 5; kind += 1) {
      let crashes = 0;
      for (let at = 1; ; at += 1) {
        const { node, before } = fresh();
        const [action, input] = inputs()[kind] as [ActionKind, object];
        if (phase === 'undo') await node.do('r1', action, input, 'x');
        const crashed = await crashing(at, () =>
          phase === 'change' ? node.do('r1', action, input, 'x') : node.undo('r1', 'x'),
        );
        node.restart();
        await node.undo('r1', 'x');
        const after = picture(join(dir, String(number), 'etc'));
        if (after !== before) t.equal(after, before, `${phase} ${kind}: crash at point ${at}`);
        // Done again and undone: what a crash left behind is in nobody's way.
        await node.do('r2', action, input, 'x');
        await node.undo('r2', 'x');
        if (picture(join(dir, String(number), 'etc')) !== before) t.fail(`${phase} ${kind}: again after point ${at}`);
        if (!crashed) break;
        crashes += 1;
      }
      t.ok(crashes >= 3, `${phase} ${kind}: ${crashes} crashes`);
    }
  }
});

t.test('a unit is as before: its file, enabled, running', async (t) => {
  const dir = t.testdir({ units: { 'old.service': 'old file' } });
  const fake = fakeSystemd(realHost(), dir);
  const node = new Node(dir, fake.host);
  const units = join(dir, 'units');
  await node.do('r1', 'systemd', { unit: 'new', content: '[Service]\n', enabled: true, state: 'started' }, 'new');
  fake.calls();
  t.match(await node.undo('r1', 'new'), { changed: true, output: { restored: ['new.service'] } });
  t.same(fake.calls(), ['stop -- new.service', 'disable -- new.service', 'daemon-reload']);
  t.notOk(existsSync(join(units, 'new.service')));
  t.same(readdirSync(join(node.state, 'systemd')), [], 'what it was started with is no longer noted');

  fake.set('active', 'active\n');
  await node.do('r2', 'systemd', { unit: 'old', content: 'new file', state: 'started' }, 'old');
  fake.calls();
  await node.undo('r2', 'old');
  t.same(fake.calls(), ['daemon-reload', 'reset-failed -- old.service', 'restart -- old.service']);
  t.equal(readFileSync(join(units, 'old.service'), 'utf8'), 'old file');

  await node.do('r3', 'systemd', { unit: 'old', state: 'stopped' }, 'stop');
  fake.set('active', 'failed\n');
  fake.calls();
  await node.undo('r3', 'stop');
  t.equal(readFileSync(join(dir, 'active'), 'utf8'), 'active\n');
  await node.do('r4', 'systemd', { unit: 'old', enabled: true, content: 'newer' }, 'x');
  writeFileSync(join(units, 'old.service'), 'by hand');
  t.match(await failure(node.undo('r4', 'x')), { code: 'UNDO_CONFLICT', message: /old.service: content/ });
});

t.test('what cannot be kept is told before the change, and its undo is refused by name', async (t) => {
  const dir = t.testdir({ small: 's'.repeat(10), large: 'l'.repeat(100), tree: { x: '' } });
  const node = new Node(dir, realHost(), { contents: 50, changes: 2 });
  await node.do('r1', 'file', { path: join(dir, 'large'), content: '' }, 'large');
  t.match(node.told, [/undo store is full/]);
  t.match(await failure(node.undo('r1', 'large')), { code: 'UNDO_NOT_KEPT', message: /large/, remedy: /--task/ });
  execFileSync('mkfifo', [join(dir, 'tree/pipe')]);
  await node.do('r1', 'directory', { path: join(dir, 'tree'), state: 'absent', recursive: true }, 'tree');
  t.match(node.told.at(-1), /pipe is a device, pipe or socket/);

  const resource = { kind: 'mount', id: '/overlay' };
  const options = 'x'.repeat(5000);
  const kinds = { mount: { look: async () => ({ state: 'mounted', options }), restore: async () => undefined } };
  const store = (): UndoStore => new UndoStore({ folder: join(dir, 'other'), kinds, host: realHost() });
  const step = { run: 'r1', task: 'x', item: 0 };
  t.match(await store().remember(step, resource, { state: 'absent' }), /mount is too large to be kept/);
  t.match(await store().changesOf(step), [{ changes: [{ before: { state: 'lost' } }] }], 'it is no damage');

  const path = join(dir, 'small');
  for (const number of [1, 2, 3])
    await node.do(`s${number}`, 'file', { path, content: String(number).repeat(20) }, 'x');
  t.match(await failure(node.undo('s1', 'x')), { code: 'UNDO_NOT_KEPT', message: /too often/ });
  await node.undo('s3', 'x');
  t.equal(readFileSync(path, 'utf8'), '2'.repeat(20));
  const [content] = readdirSync(join(node.state, 'undo/contents'));
  t.ok(content);
});

t.test('damage is never taken for nothing to do', async (t) => {
  const dir = t.testdir({ a: 'old' });
  const path = join(dir, 'a');
  const node = new Node(dir);
  await node.do('r1', 'file', { path, content: 'new' }, 'x');
  const undo = join(node.state, 'undo');
  const [entry = ''] = readdirSync(undo).filter((name) => name.endsWith('.json'));
  const [content = ''] = readdirSync(join(undo, 'contents'));
  const whole = readFileSync(join(undo, entry), 'utf8');
  writeFileSync(join(undo, 'contents', content), 'oLd');
  node.restart();
  t.match(await failure(node.undo('r1', 'x')), { code: 'UNDO_DAMAGED', message: /damaged/ });
  t.equal(readFileSync(path, 'utf8'), 'new');
  writeFileSync(join(undo, 'contents', content), 'old');
  writeFileSync(join(undo, entry), whole.slice(0, -5));
  node.restart();
  t.match(await failure(node.undo('r1', 'x')), { code: 'UNDO_DAMAGED', evidence: new RegExp(entry) });
  t.equal((await node.do('r2', 'file', { path, content: 'newer' }, 'x')).changed, true, 'work goes on');
  t.match(node.told, [/damaged/]);
  t.equal(readFileSync(join(undo, entry), 'utf8'), whole.slice(0, -5), 'and what is left of it is not written over');
  writeFileSync(join(undo, entry), whole);
  node.restart();
  t.match(await failure(node.undo('r1', 'x')), { code: 'UNDO_CONFLICT' });
});

t.test('who may write to a folder cannot make undo read or write elsewhere', async (t) => {
  const dir = t.testdir({ theirs: { file: 'own', tree: { sub: { below: 'x' } } }, secret: 'of root', target: {} });
  const [file, tree, target] = [join(dir, 'theirs/file'), join(dir, 'theirs/tree'), join(dir, 'target')];
  const kinds = createResourceKinds(join(dir, 'state'));
  const real = realHost();
  const seen: string[] = [];
  /** Hands that are watched: `after` comes right after a call. */
  const hands = (after: (verb: string, path: string) => void, content = Buffer.alloc(0)): Hands => ({
    host: {
      ...real,
      files: new Proxy(real.files, {
        get:
          (files, verb: keyof Host['files']) =>
          async (path: string, ...rest: never[]) => {
            const done = await (files[verb] as (...all: unknown[]) => unknown)(path, ...rest);
            after(verb, path);
            return done;
          },
      }),
    },
    signal: new AbortController().signal,
    keeps: true,
    keep: async (bytes) => String(seen.push(bytes.toString('utf8'))),
    content: async () => content,
  });
  const swap = (path: string, to: string): void => {
    renameSync(path, `${path}.own`);
    symlinkSync(to, path);
  };
  let swapped = false;
  const swapOnce = (path: string, to: string) => (verb: string, at: string) => {
    if (verb !== 'stat' || at !== path || swapped) return;
    swapped = true;
    swap(path, to);
  };
  t.match(await kinds['file']?.look(file, hands(swapOnce(file, join(dir, 'secret')))), { state: 'lost' });
  swapped = false;
  const below = join(tree, 'sub/below');
  t.match(await kinds['tree']?.look(tree, hands(swapOnce(below, join(dir, 'secret')))), { state: 'lost' });
  t.notMatch(seen.join(), /of root|b2Ygcm9vd/);

  const image = { state: 'directory', content: 'c', mode: 0o700, uid: process.getuid?.() ?? 0, gid: 0 };
  const leaf = { path: 'cron', kind: 'file', mode: 0o755, uid: image.uid, gid: process.getgid?.() ?? 0, data: 'eA==' };
  const leaves = Buffer.from(JSON.stringify([leaf, { ...leaf, path: 'cron2' }]));
  image.gid = leaf.gid;
  const making = join(dir, 'theirs/.gone.kk-undo');
  const restore = async (after: (verb: string, path: string) => void) =>
    kinds['tree']?.restore(join(dir, 'theirs/gone'), image, { state: 'absent' }, hands(after, leaves));
  await t.rejects(restore((verb, path) => void (verb === 'remove' && path === making && symlinkSync(target, making))));
  t.same(readdirSync(target), []);
  swapped = false;
  await restore((verb, path) => {
    if (verb !== 'writeAtomic' || swapped || !path.endsWith('/cron')) return;
    swapped = true;
    swap(making, target);
  }).catch(() => {});
  t.same(readdirSync(target), [], 'its name led elsewhere while it was made');
});

t.test('facet by facet: what a crash cut short has some of each', (t) => {
  const before: Image = { state: 'file', content: 'a', mode: 1, uid: 1 };
  const after: Image = { state: 'file', content: 'b', mode: 2 };
  const changes = [{ before, after }];
  t.same(judge(changes, { ...before }), { verdict: 'as-before' });
  t.match(judge(changes, { ...before, mode: 2 }), { verdict: 'restore', to: before });
  t.match(judge(changes, { ...after, uid: 7 }), { verdict: 'restore' }, 'what could not be foretold is not asked for');
  t.match(judge(changes, { ...before, mode: 3 }), {
    verdict: 'conflict',
    differences: [{ facet: 'mode', present: 3 }],
  });
  t.match(judge(changes, { state: 'absent' }), { verdict: 'conflict', differences: [{ facet: 'state' }] });
  t.match(judge([{ before: lost('too large'), after }], after), { verdict: 'lost', why: 'too large' });
  t.end();
});
