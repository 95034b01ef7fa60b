import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { startTicks } from '../../agent/host/process-identity.ts';
import { holderOf, lockState, statePaths } from '../../agent/state-folder.ts';

/** All folders of this file are in it. */
const home = mkdtempSync(join(tmpdir(), 'kk-state-'));
t.teardown(() => rmSync(home, { recursive: true, force: true }));

const paths = () => statePaths(join(mkdtempSync(join(home, 'of-')), 'state'));

t.test('one agent at a time; the lock is given back', async (t) => {
  const state = paths();
  const unlock = await lockState(state, 'boot-1');
  t.equal(holderOf(state.lock, 'boot-1')?.pid, process.pid);
  await t.rejects(lockState(state, 'boot-1'), { code: 'STATE_IN_USE', message: new RegExp(String(process.pid)) });
  await unlock();
  t.equal(holderOf(state.lock, 'boot-1'), undefined);
  const again = await lockState(state, 'boot-1');
  t.same(readdirSync(state.root).sort(), ['lock', 'runs'], 'no drafts are left behind');
  await again();
});

t.test('a lock whose process is gone, of an earlier boot or unreadable is taken over', async (t) => {
  const own = { pid: process.pid, startTicks: startTicks(process.pid) };
  for (const stale of [
    JSON.stringify({ ...own, startTicks: 1, bootId: 'boot-1' }),
    JSON.stringify({ ...own, bootId: 'boot-0' }),
    '{"pid": 1',
  ]) {
    const state = paths();
    mkdirSync(state.root);
    writeFileSync(state.lock, stale);
    const unlock = await lockState(state, 'boot-1');
    t.equal(holderOf(state.lock, 'boot-1')?.pid, process.pid, stale);
    await unlock();
  }
});

t.test('a folder that cannot be made is a coded error', async (t) => {
  const root = mkdtempSync(join(home, 'of-'));
  writeFileSync(join(root, 'file'), '');
  chmodSync(join(root, 'file'), 0o400);
  await t.rejects(lockState(statePaths(join(root, 'file', 'state')), 'boot-1'), {
    code: 'STATE_NOT_WRITABLE',
    message: /file/,
  });
});

t.test('of many that find the same stale lock one takes it over', async (t) => {
  const stale = JSON.stringify({ pid: process.pid, startTicks: 1, bootId: 'boot-1' });
  for (let round = 0; round < 20; round += 1) {
    const state = paths();
    mkdirSync(state.root);
    writeFileSync(state.lock, stale);
    const tried = await Promise.allSettled([1, 2, 3].map(() => lockState(state, 'boot-1')));
    const won = tried.filter((one) => one.status === 'fulfilled');
    t.equal(won.length, 1, `round ${round}`);
    for (const one of tried) if (one.status === 'rejected') t.match(one.reason, { code: 'STATE_IN_USE' });
    t.equal(holderOf(state.lock, 'boot-1')?.pid, process.pid, 'and holds it');
    await won[0]?.value();
    t.same(readdirSync(state.root), ['runs'], 'nothing is left behind');
  }
});
