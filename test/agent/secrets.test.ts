/** Secrets on a node: they come when a step needs them, are in memory alone, and are shown nowhere. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MaskedStream, maskJson } from '../../agent/executor/mask.ts';
import { KkError } from '../../shared/errors.ts';
import { Bench, chain, task } from '../support/agent-bench.ts';

const TOKEN = 'abcdef.0123456789abcdef';

/** A controller that is away until it is told to be there. */
function controller() {
  const desk = { isThere: false, asked: 0 };
  const secret = async (run: string, name: string): Promise<string> => {
    desk.asked += 1;
    if (!desk.isThere) throw new Error('nobody answers');
    return run === 'r1' && name === 'token' ? TOKEN : 'other-value';
  };
  return { desk, secret };
}

const joining = task('join', {
  run: "join {{ secret('token') }}",
  secrets: ['token'],
  sensitive: true,
  timeout: 5,
  register: 'joined',
});

t.test('a step waits for its secret outside its timeout, and nothing of it is on disk or shown', async (t) => {
  const { desk, secret } = controller();
  const bench = await Bench.open({ secret });
  bench.lease();
  bench.commands.answers.set('show', { stdout: `token: ${TOKEN}\n` });
  bench.commands.answers.set('fail', { code: 1, stdout: `bad ${TOKEN}` });
  bench.push([
    joining,
    task('beside'),
    task('show', { needs: [{ task: 0 }], register: { name: 'shown', type: 'any', exported: true } }),
    task('fail', { needs: [{ task: 2 }] }),
  ]);
  await bench.settle();
  t.same(bench.outcomes(), { 1: 'ok' }, 'others go on');
  t.equal(desk.asked, 1);
  for (const ms of [1_000, 2_000, 4_000, 8_000, 15_000, 15_000]) {
    bench.clock.advance(ms);
    await bench.settle();
  }
  t.equal(desk.asked, 7, 'asked again and again, ever less often');
  t.same(bench.outcomes(), { 1: 'ok' });
  desk.isThere = true;
  bench.executor.welcomed({ value: 1, mac: new Uint8Array() });
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'ok', 1: 'ok', 2: 'ok', 3: 'failed' });
  t.ok(bench.commands.calls.includes(`join ${TOKEN}`));
  t.notOk(bench.ended().get(0)?.result.output, 'it is sensitive');
  const masked = `token: ${'*'.repeat(TOKEN.length)}\n`;
  t.match(bench.ended().get(2)?.result, { output: { stdout: { head: masked } } });
  t.match(bench.ended().get(3)?.result.error?.evidence, /^bad \*+$/);
  t.notMatch(readFileSync(join(bench.folder, 'journal.log'), 'utf8'), TOKEN);

  const other = { ...joining, key: '0/role/later' };
  bench.push([other], { run: 'r1', revision: 2 });
  await bench.settle();
  t.equal(desk.asked, 9, 'when nothing was left to do it was forgotten');
});

t.test('after a restart a begun step waits for its secret again, and a done one counts by its name', async (t) => {
  const { desk, secret } = controller();
  desk.isThere = true;
  let bench = await Bench.open({ secret });
  bench.lease();
  const work = `work ${TOKEN}`;
  bench.commands.hold(work);
  bench.push([joining, task('work', { run: "work {{ secret('token') }}", secrets: ['token'], sensitive: true })]);
  await bench.settle();
  t.same(bench.outcomes(), { 0: 'ok' });
  desk.isThere = false;
  bench.commands.found = { code: 0 };
  bench = await bench.restart({ secret });
  bench.lease();
  await bench.settle();
  t.same(bench.commands.recovered, [], 'it waits');
  desk.isThere = true;
  bench.clock.advance(1_000);
  await bench.settle();
  t.same(bench.commands.recovered, [work]);
  t.same(bench.outcomes(), { 0: 'ok', 1: 'ok' });

  const calls = bench.commands.calls.length;
  const again = { run: 'r1', revision: 2, share: { revised: { retryFailed: true, rerun: [], skip: [] } } };
  const other = await bench.restart({ secret: async () => 'quite.another' });
  other.lease();
  other.push([{ ...joining, register: undefined }], again);
  await other.settle();
  t.match(other.ended().get(0), { outcome: 'OUTCOME_OK', result: { kept: true } }, 'whatever its value is now');
  t.equal(other.commands.calls.length, calls);
});

t.test('a step fails by a secret that will never be there; a later revision asks for it again', async (t) => {
  const answers: { code: string }[] = [];
  let asked = 0;
  const secret = async (): Promise<string> => {
    asked += 1;
    const [refused] = answers;
    if (refused !== undefined) throw new KkError({ message: 'No.', remedy: 'Make it.', ...refused });
    return TOKEN;
  };
  let bench = await Bench.open({ secret });
  bench.lease();
  answers.push({ code: 'SECRET_NOT_MADE' });
  bench.push([joining]);
  await bench.settle();
  t.same(bench.outcomes(), {}, 'it may come');
  answers[0] = { code: 'SECRET_NEVER' };
  bench.clock.advance(1_000);
  await bench.settle();
  t.match(bench.ended().get(0), { outcome: 'OUTCOME_FAILED', result: { error: { code: 'SECRET_NEVER' } } });
  t.equal(asked, 2);
  t.same(bench.commands.calls, []);

  answers.pop();
  bench.commands.hold(`join ${TOKEN}`);
  const again = (revision: number) => ({
    run: 'r1',
    revision,
    share: { revised: { retryFailed: true, rerun: [], skip: [] } },
  });
  bench.push([joining], again(2));
  await bench.settle();
  t.same(bench.commands.calls, [`join ${TOKEN}`]);
  answers.push({ code: 'SECRET_UNREADABLE' });
  bench = await bench.restart({ secret });
  bench.lease();
  await bench.settle();
  t.match(bench.ended().get(0)?.result.error, { code: 'SECRET_UNREADABLE' }, 'so does one that a restart cut short');
});

t.test('a file with a secret is for its owner; a dry run needs none; a cancel ends the wait', async (t) => {
  const { secret, desk } = controller();
  desk.isThere = true;
  const bench = await Bench.open({ secret });
  bench.lease();
  const path = join(bench.folder, 'token');
  const file = (name: string, mode: string) =>
    task(name, {
      action: 'file',
      inputs: { path: `${path}-${name}`, content: "{{ secret('token') }}\n", mode: '{{ m }}' },
      vars: { m: mode },
      secrets: ['token'],
      sensitive: true,
    });
  bench.push(chain([file('own', '0600'), file('open', '0644')]));
  while (bench.ended().size < 2) await bench.settle();
  t.match(bench.ended().get(1)?.result.error, { code: 'SECRET_READABLE', message: /0644/ });
  t.equal(readFileSync(`${path}-own`, 'utf8'), `${TOKEN}\n`);
  t.notMatch(readFileSync(join(bench.folder, 'journal.log'), 'utf8'), TOKEN);

  const dry = await Bench.open();
  dry.lease();
  dry.push([joining], { share: { check: true } });
  await dry.settle();
  t.match(dry.ended().get(0)?.result.unknown, /secret "token"/);

  const away = await Bench.open();
  away.lease();
  away.push([joining]);
  await away.settle();
  away.handle({ kind: 'cancel', value: { run: 'r1', grace_ms: 1, force: false } });
  await away.settle();
  t.match(away.blocked(), [{ tasks: [0], cancelled: true }]);
});

t.test('values in live output become asterisks, however they are cut', async (t) => {
  const data = Buffer.from(`é ${TOKEN}|${TOKEN.slice(0, 9)}!${TOKEN} abcd`);
  for (const size of [1, 3, 7, 24, 200]) {
    const sent: { offset: number; data: Uint8Array }[] = [];
    const stream = new MaskedStream(
      () => [TOKEN],
      (offset, part) => sent.push({ offset, data: part }),
    );
    for (let at = 0; at < data.length; at += size) stream.push(at, data.subarray(at, at + size));
    stream.flush();
    let end = 0;
    for (const part of sent) {
      t.equal(part.offset, end, 'each byte once, in order');
      end += part.data.length;
    }
    const stars = '*'.repeat(TOKEN.length);
    t.equal(
      Buffer.concat(sent.map((part) => part.data)).toString(),
      `é ${stars}|abcdef.01!${stars} ****`,
      `by ${size}`,
    );
  }
  t.same(maskJson({ a: [`x${TOKEN}`, 1, null], [TOKEN]: true }, [TOKEN]), {
    a: [`x${'*'.repeat(TOKEN.length)}`, 1, null],
    [TOKEN]: true,
  });
});
