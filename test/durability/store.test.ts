import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import { openDatabase } from '../../controller/store/database.ts';
import { eventLog } from '../../controller/store/event-log.ts';
import { type Luck, Media, randomOf } from '../support/media.ts';
import { type Call, canRecord, record, replay } from '../support/recording.ts';
import { apply, deedOf, digest, nothing, stateIn } from '../support/store-work.ts';

const POINTS = Number(process.env['KK_TEST_POINTS'] ?? 4_500);
const SEED = Number(process.env['KK_TEST_SEED'] ?? 1);
/** Starts of the controller on one folder: how far each works, and how it ends. The last one fills the log until SQLite folds it in. */
const LIVES = [
  [0, 40, 'kill'],
  [40, 70, 'close'],
  [70, 100, 'kill'],
  [100, 360, 'kill'],
] as const;
/** Of so many images one is opened by the real store, in its thread, and worked with. */
const WORKED_WITH = 100;

t.setTimeout(300_000);

t.test(
  'whatever a power cut leaves of the store: what was acknowledged is there, and whole',
  { skip: canRecord() ? false : 'strace is needed' },
  async (t) => {
    const home = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'kk-store-'));
    t.teardown(() => rmSync(home, { recursive: true, force: true }));
    const folder = join(home, 'state');
    mkdirSync(folder);
    const program = join(import.meta.dirname, '../support/store-work.ts');
    const calls = LIVES.flatMap(([from, to, end]) =>
      record(folder, [process.execPath, program, folder, String(from), String(to), end]),
    );
    t.ok(
      calls.some((call) => call.kind === 'write' && call.path.endsWith('.db') && call.at > 100_000),
      'the log was folded in',
    );
    const states = [digest(nothing())];
    const state = nothing();
    for (let n = 0; n < (LIVES.at(-1)?.[1] ?? 0); n += 1) {
      apply(state, deedOf(n));
      states.push(digest(state));
    }

    const random = randomOf(SEED);
    const some = (): Luck => ({ kind: 'some', share: 0.05 + 0.9 * random(), random });
    const media = new Media();
    const [asked, acked] = [new Set<number>(), new Set<number>()];
    // Each place is worth one image or five; as many places are looked at as the number asks for.
    const share = (1.02 * POINTS) / imagesIn(calls);
    let points = 0;
    const wrong: string[] = [];
    for (const [index, call] of calls.entries()) {
      replay(media, call);
      if (call.kind === 'said') {
        const [word, number] = call.text.split(' ');
        (word === 'ask' ? asked : acked).add(Number(number));
      }
      if (random() > share) continue;
      const lucks: Luck[] = media.isSafe
        ? [{ kind: 'none' }]
        : [{ kind: 'none' }, { kind: 'all' }, some(), some(), some()];
      for (const luck of lucks) {
        points += 1;
        const image = join(home, 'image');
        mkdirSync(image);
        for (const [name, content] of media.afterCut(luck)) writeFileSync(join(image, name), content);
        const found = await look(image, points % WORKED_WITH === 0);
        const least = acked.size;
        const most = asked.size;
        const at = states.indexOf(found, 0);
        if (at < least || at > most)
          wrong.push(
            `call ${index} (${call.kind}), ${luck.kind}: ${at < 0 ? found.slice(0, 300) : `${at} deeds`}, acknowledged ${least}, asked for ${most}`,
          );
        rmSync(image, { recursive: true });
      }
      if (wrong.length > 5) break;
    }
    t.same(wrong, [], `KK_TEST_SEED=${SEED}`);
    t.ok(points >= POINTS * 0.9, `${points} power cuts in ${calls.length} calls`);
  },
);

function imagesIn(calls: readonly Call[]): number {
  const media = new Media();
  let count = 0;
  for (const call of calls) {
    replay(media, call);
    count += media.isSafe ? 1 : 5;
  }
  return count;
}

/** What is in the image; words that fit no state when it is not sound. */
async function look(folder: string, isWorkedWith: boolean): Promise<string> {
  const path = join(folder, 'controller.db');
  try {
    if (isWorkedWith) {
      const database = await openDatabase(folder);
      await eventLog(database).activeRuns();
      await database.transact([{ sql: "INSERT INTO meta (key, value) VALUES ('test', 'x')", values: [] }]);
      await database.close();
    }
    const database = new DatabaseSync(path);
    try {
      return digest(stateIn(database));
    } finally {
      database.close();
    }
  } catch (thrown) {
    return `it cannot be read: ${String(thrown)}`;
  }
}
