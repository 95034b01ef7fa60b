import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { type Disk, disk } from '../../agent/durable/disk.ts';
import { encodeFrame, scanFrames } from '../../agent/executor/frames.ts';
import { Journal, type JournalOptions } from '../../agent/executor/journal.ts';
import type { NewRecord } from '../../agent/executor/records.ts';

const folder = mkdtempSync(join(tmpdir(), 'kk-journal-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
let made = 0;

function options(path: string, more: Partial<JournalOptions> = {}): JournalOptions {
  return {
    path,
    disk,
    newId: () => 'id-1',
    pause: () => new Promise((resolve) => setImmediate(resolve)),
    onTrouble: () => {},
    onFatal: (error) => {
      throw error;
    },
    ...more,
  };
}

function fresh(): string {
  made += 1;
  return join(folder, `journal-${made}`);
}

/** The records in the file, without the mark that ends a journal at rest. */
function written(path: string): Buffer {
  const bytes = readFileSync(path);
  return bytes.subarray(0, scanFrames(bytes).end);
}

const blocked = (tasks: number[], run = 'r'): NewRecord => ({
  type: 'blocked',
  run,
  revision: 1,
  tasks,
  cause: 'c',
  cancelled: false,
  atMs: 1,
});
const permit = (task: number, run = 'r'): NewRecord => ({ type: 'permit', run, revision: 1, task });

/** A disk that counts, and that can be full or broken. */
function watched(): { disk: Disk; syncs: number; full: boolean; broken: boolean } {
  const state = {
    syncs: 0,
    full: false,
    broken: false,
    disk: {
      async open(path: string, point) {
        const { file, content } = await disk.open(path, point);
        return {
          content,
          file: {
            ...file,
            async append(bytes: Uint8Array) {
              if (state.broken) throw Object.assign(new Error('i/o error'), { code: 'EIO' });
              if (!state.full) return file.append(bytes);
              // What a full disk does: it takes a part.
              await file.append(bytes.subarray(0, bytes.length >> 1));
              throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
            },
            async sync() {
              state.syncs += 1;
              await file.sync();
            },
          },
        };
      },
      replace: disk.replace,
    } satisfies Disk,
  };
  return state;
}

t.test('what was synced is there after a restart, numbered on, and the outbox is rebuilt', async (t) => {
  const path = fresh();
  const first = await Journal.open(options(path));
  for (let index = 0; index < 5; index += 1) first.journal.append(blocked([index]));
  first.journal.append(permit(7));
  t.same(first.journal.outgoing(), [], 'nothing is sent before it is on disk');
  await first.journal.synced();
  t.same(
    first.journal.outgoing().map((out) => out.sequence),
    [1, 2, 3, 4, 5],
  );
  first.journal.acknowledge(3);
  first.journal.acknowledge(2);
  first.journal.acknowledge(99);
  first.journal.append(blocked([9]));
  await first.journal.close();

  const second = await Journal.open(options(path, { newId: () => 'another' }));
  t.equal(second.journal.id, 'id-1');
  t.equal(second.journal.lastSequence, 6);
  t.same(
    second.journal.outgoing().map((out) => out.sequence),
    [6],
  );
  t.same((await second.journal.read(5, 1))[0]?.message, {
    kind: 'blocked',
    value: { run: 'r', revision: 1, tasks: [9], cause: 'c', cancelled: false, at_ms: 1 },
  });
  await second.journal.close();
});

t.test('many waiters share one sync', async (t) => {
  const counted = watched();
  const { journal } = await Journal.open(options(fresh(), { disk: counted.disk }));
  const before = counted.syncs;
  const told: number[] = [];
  journal.onOutgoing(() => told.push(journal.outgoing().length));
  await Promise.all(
    Array.from({ length: 100 }, (_, index) => {
      journal.append(blocked([index]));
      return journal.synced();
    }),
  );
  t.equal(counted.syncs - before, 1);
  t.same(told, [100], 'and the link is told once');
  await journal.close();
});

t.test('a tail torn at any byte is cut off; everything before it stays', async (t) => {
  const path = fresh();
  const { journal } = await Journal.open(options(path));
  journal.append(blocked([1]));
  await journal.synced();
  const sound = written(path).length;
  journal.append(blocked([2]));
  journal.append(permit(3));
  await journal.close();
  const whole = written(path);
  for (let size = sound; size < whole.length; size += 1) {
    writeFileSync(path, whole.subarray(0, size));
    const { journal: again, records, cut } = await Journal.open(options(path));
    const kept = size - cut;
    if (records.length < 2 || kept < sound) t.fail(`cut at ${size}: ${records.length} records kept`);
    again.append(blocked([4]));
    await again.close();
    const { journal: third, records: after } = await Journal.open(options(path));
    if (after.length !== records.length + 1) t.fail(`cut at ${size}: the next record was lost`);
    await third.close();
  }
  t.pass(`${whole.length - sound} cuts`);
});

t.test('pages of the last write that never reached the disk are cut off, too', async (t) => {
  const path = fresh();
  const { journal } = await Journal.open(options(path));
  journal.append(blocked([1]));
  await journal.synced();
  const sound = written(path).length;
  for (let index = 0; index < 5; index += 1) journal.append(blocked([index]));
  await journal.close();
  const torn = written(path).fill(0, sound, sound + 40);
  writeFileSync(path, torn);
  const { records, cut, journal: again } = await Journal.open(options(path));
  t.equal(records.length, 2);
  t.equal(cut, torn.length - sound);
  await again.close();
});

t.test('a damaged record that had been synced is an error that names offset and remedy', async (t) => {
  const path = fresh();
  const { journal } = await Journal.open(options(path));
  const starts: number[] = [];
  for (let index = 0; index < 4; index += 1) {
    starts.push(written(path).length);
    journal.append(blocked([index]));
    await journal.synced();
  }
  await journal.close();
  const whole = readFileSync(path);
  const start = starts[1] ?? 0;
  for (let at = start; at < (starts[2] ?? 0); at += 1) {
    const flipped = Buffer.from(whole);
    flipped[at] = (flipped[at] ?? 0) ^ 0x40;
    writeFileSync(path, flipped);
    try {
      await Journal.open(options(path));
      t.fail(`a flipped byte at ${at} was not noticed`);
    } catch (thrown) {
      const { code, message, remedy } = (thrown as { report: { code: string; message: string; remedy: string } })
        .report;
      if (code !== 'JOURNAL_CORRUPT' || !message.includes(`byte ${start}`) || remedy === '')
        t.fail(`byte ${at}: ${code} ${message}`);
      if (!readFileSync(path).equals(flipped)) t.fail('the file was changed');
    }
  }
  t.pass('every byte of the record');
});

t.test('random damage never yields a record that was not written', (t) => {
  const written = Array.from({ length: 6 }, (_, index) => blocked([index]));
  const bytes = Buffer.concat(written.map((record, index) => encodeFrame(index + 1, index, record)));
  fc.assert(
    fc.property(
      fc.nat(bytes.length - 1),
      fc.integer({ min: 1, max: 255 }),
      fc.oneof(fc.constant(bytes.length), fc.nat(bytes.length)),
      (at, flip, size) => {
        const hurt = Buffer.from(bytes);
        hurt[at] = (hurt[at] ?? 0) ^ flip;
        const scan = scanFrames(hurt.subarray(0, size));
        const prefix = scan.records.every((record, index) => JSON.stringify(record) === JSON.stringify(written[index]));
        // Synced records before the damage are never lost in silence.
        const lost = scan.damaged === undefined && size === bytes.length && scan.last < 5;
        return prefix && !lost;
      },
    ),
    { numRuns: 300 },
  );
  t.end();
});

t.test('a full disk makes it wait and tells; nothing is lost or torn', async (t) => {
  const full = watched();
  const troubles: (string | undefined)[] = [];
  let waited = 0;
  const path = fresh();
  const { journal } = await Journal.open(
    options(path, {
      disk: full.disk,
      onTrouble: (report) => troubles.push(report?.code),
      pause: async () => {
        waited += 1;
        if (waited === 3) full.full = false;
      },
    }),
  );
  full.full = true;
  journal.append(blocked([1]));
  await journal.synced();
  t.same(troubles, ['DISK_FULL', 'DISK_FULL', 'DISK_FULL', undefined]);
  await journal.close();
  const { records, cut, journal: again } = await Journal.open(options(path));
  t.equal(records.length, 2);
  t.equal(cut, 0);
  await again.close();
});

t.test('a disk that fails ends the agent with a code; nothing unsynced was told', async (t) => {
  const hurt = watched();
  const fatal: string[] = [];
  const { journal } = await Journal.open(
    options(fresh(), { disk: hurt.disk, onFatal: (error) => fatal.push(error.code) }),
  );
  hurt.broken = true;
  journal.append(blocked([1]));
  let synced = false;
  void journal.synced().then(() => {
    synced = true;
  });
  while (fatal.length === 0) await new Promise((resolve) => setImmediate(resolve));
  t.same(fatal, ['JOURNAL_UNWRITABLE']);
  t.notOk(synced);
  t.same(journal.outgoing(), []);
  await journal.close();
  t.same(fatal, ['JOURNAL_UNWRITABLE'], 'told once');
});

t.test('forgotten runs go when it is rewritten; the numbers and what is left stay', async (t) => {
  const path = fresh();
  const { journal } = await Journal.open(options(path, { compactAbove: 4000 }));
  for (let round = 0; round < 50; round += 1) {
    journal.append(blocked([round], `old${round}`));
    journal.append({ type: 'forget', run: `old${round}` });
    journal.append(permit(round, 'live'));
    journal.acknowledge(round);
    await journal.synced();
  }
  t.ok(readFileSync(path).length < 8000, 'it does not grow with forgotten runs');
  await journal.close();
  const { journal: again, records } = await Journal.open(options(path));
  t.equal(records.filter((record) => record.type === 'permit').length, 50);
  t.equal(again.lastSequence, 50);
  again.append(blocked([1]));
  await again.synced();
  t.same(
    again.outgoing().map((out) => out.sequence),
    [50, 51],
    'without a gap',
  );
  await again.close();
});

t.test('a journal of a newer agent is left alone', async (t) => {
  const path = fresh();
  writeFileSync(path, encodeFrame(1, 0, { type: 'journal', format: 99, id: 'x', sequence: 0 }));
  await t.rejects(Journal.open(options(path)), { code: 'STATE_NEWER' });
});

t.test('sequences go on above everything that was given out, also when only an older run is left', async (t) => {
  const path = fresh();
  const push = (run: string): NewRecord => ({
    type: 'push',
    run,
    revision: 1,
    share: { format: 1, node: 'n', kind: 'plan', tasks: [], hostVars: {}, batches: {} },
    common: 'c',
    leaseMs: 0,
  });
  const { journal } = await Journal.open(options(path));
  for (const record of [push('old'), blocked([1], 'old'), push('exec'), blocked([1], 'exec'), blocked([2], 'exec')])
    journal.append(record);
  await journal.synced();
  journal.acknowledge(3);
  journal.append({ type: 'forget', run: 'exec' });
  await journal.close();
  // The first start rewrites the file without the forgotten run; the second reads what was rewritten.
  for (const start of ['rewriting', 'reading']) {
    const again = await Journal.open(options(path));
    t.equal(again.journal.lastSequence, 3, start);
    await again.journal.close();
  }
});

const begin = (run: string): NewRecord => ({
  type: 'push',
  run,
  revision: 1,
  share: { format: 1, node: 'n', kind: 'plan', tasks: [], hostVars: {}, batches: {} },
  common: 'c',
  leaseMs: 0,
});

t.test('what comes while it closes is not written, and nothing fails', async (t) => {
  const path = fresh();
  const { journal } = await Journal.open(options(path));
  journal.append(blocked([1]));
  const closing = journal.close();
  journal.append(blocked([2]));
  journal.acknowledge(1);
  await closing;
  await journal.close();
  t.same(await journal.read(0, 1_000), []);
  const again = await Journal.open(options(path));
  t.equal(again.journal.lastSequence, 1);
  await again.journal.close();
});

t.test('it closes on a full disk, too: what was not told may be lost', async (t) => {
  const full = watched();
  const path = fresh();
  const { journal } = await Journal.open(options(path, { disk: full.disk, onFatal: () => t.fail('not fatal') }));
  full.full = true;
  journal.append(blocked([1]));
  await journal.close();
  const again = await Journal.open(options(path));
  t.equal(again.journal.lastSequence, 0);
  await again.journal.close();
});

t.test('what a rewrite that was cut short left behind is taken away', async (t) => {
  const path = fresh();
  await (await Journal.open(options(path))).journal.close();
  writeFileSync(`${path}.new`, 'half');
  await (await Journal.open(options(path))).journal.close();
  t.notOk(existsSync(`${path}.new`));
});

t.test('thousands of runs, acknowledged late, leave a small file', async (t) => {
  const path = fresh();
  const { journal } = await Journal.open(options(path, { compactAbove: 100_000 }));
  journal.append(begin('stays'));
  journal.append(blocked([1], 'stays'));
  let largest = 0;
  for (let round = 0; round < 4_000; round += 1) {
    const run = `run-${round}`;
    journal.append(begin(run));
    journal.append({
      type: 'refused',
      run: `no-${round}`,
      revision: 1,
      error: { code: 'X', message: 'm', remedy: 'r' },
    });
    for (let task = 0; task < 3; task += 1) journal.append(blocked([task], run));
    journal.append({ type: 'forget', run });
    // A step that was at work ends after its run was forgotten.
    journal.append(blocked([9], run));
    if (round % 100 === 99) {
      await journal.synced();
      largest = Math.max(largest, statSync(path).size);
      journal.acknowledge(journal.lastSequence - 200);
    }
  }
  await journal.synced();
  t.ok(largest < 400_000, `${largest} bytes at most`);
  await journal.close();
  const { journal: again } = await Journal.open(options(path));
  t.ok(statSync(path).size < 60_000, `${statSync(path).size} bytes after a start`);
  t.same((await again.read(0, 1))[0]?.message.value, { ...blockedValue('stays') }, 'what is held can be told anew');
  await again.close();
});

const blockedValue = (run: string) => ({ run, revision: 1, tasks: [1], cause: 'c', cancelled: false, at_ms: 1 });

t.test('messages are read on in portions, while others come and the file is rewritten', async (t) => {
  const { journal } = await Journal.open(options(fresh(), { compactAbove: 20_000 }));
  journal.append(begin('held'));
  const told: number[] = [];
  let after = 0;
  const take = (portion: readonly { sequence: number }[]): void => {
    told.push(...portion.map(({ sequence }) => sequence));
    after = told.at(-1) ?? 0;
  };
  for (let round = 0; round < 200; round += 1) {
    journal.append(blocked([round], 'held'));
    journal.append(begin('gone'));
    journal.append({ type: 'forget', run: 'gone' });
    void journal.synced();
    take(await journal.read(after, 500));
  }
  await journal.synced();
  for (let more = await journal.read(after, 500); more.length > 0; more = await journal.read(after, 500)) {
    t.ok(more.length < 10, 'a portion');
    take(more);
  }
  t.same(
    told,
    Array.from({ length: 200 }, (_, index) => index + 1),
  );
  journal.acknowledge(150);
  t.equal(journal.outgoing().length, 50);
  t.equal((await journal.read(10, 1))[0]?.sequence, 11, 'acknowledged ones, too, for a controller that was set back');
  await journal.close();
});
