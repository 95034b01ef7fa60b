/** Parts of `kk-controller shell` by themselves: keys, screen, and what either side may not do. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { EscapeKeys } from '../../controller/cli/escape.ts';
import { LineFeeds } from '../../controller/cli/output/line-feeds.ts';
import { TerminalModes } from '../../controller/cli/output/terminal-modes.ts';
import { Recording } from '../../controller/cli/recording.ts';
import type { Session } from '../../controller/dispatch/session.ts';
import { SessionShells, type ShellEnd } from '../../controller/dispatch/shells.ts';
import { Shells, type ShellsParts } from '../../controller/operations/shells.ts';
import type { ForAgent } from '../../shared/protocol/messages.ts';

const WISH = { node: 'n1', argv: [], term: 'xterm', columns: 80, rows: 24, now: false, by: 'ada' };

t.test('what is typed', async (t) => {
  const typed = (...chunks: string[]): [string, boolean] => {
    const keyboard = new EscapeKeys();
    let text = '';
    for (const chunk of chunks) {
      const { data, end } = keyboard.take(Buffer.from(chunk));
      text += data.toString();
      if (end) return [text, true];
    }
    return [text, false];
  };
  t.same(typed('~.'), ['', true], 'the session begins at the start of a line');
  t.same(typed('ls\r', '~', '.x'), ['ls\r', true], 'key by key');
  t.same(typed('cat ~/.bashrc\r'), ['cat ~/.bashrc\r', false]);
  t.same(typed('\r~/bin\r'), ['\r~/bin\r', false]);
  t.same(typed('\r~~.\r'), ['\r~.\r', false], 'twice is once');
  t.same(typed('ä~.\n~~'), ['ä~.\n~', false]);
});

t.test('what is shown', async (t) => {
  const modes = new TerminalModes();
  modes.saw(Buffer.from('\x1b[?1049h\x1b[?1000;1006h\x1b['));
  modes.saw(Buffer.from('?25l text \x1b[?7l'));
  t.equal(modes.restore(), '\x1b[?1049l\x1b[?1000l\x1b[?1006l\x1b[?25h\x1b[m\x1b>');
  modes.saw(Buffer.from('\x1b[?1049l\x1b[?1000;1006l\x1b[?25h'));
  t.equal(modes.restore(), '', 'a program that cleaned up leaves nothing to do');

  const mended = (...chunks: string[]): string => {
    const feeds = new LineFeeds();
    return chunks
      .map((chunk) => {
        const data = Buffer.from(chunk);
        feeds.mend(data);
        return data.toString();
      })
      .join('');
  };
  t.equal(mended('a\r\nb\nc\r', '\nd', '', '\n'), 'a\r\nb\vc\r\nd\v');
});

t.test('the shells of one connection', async (t) => {
  const sent: ForAgent[] = [];
  const heard: unknown[] = [];
  const ends: ShellEnd[] = [];
  const shells = new SessionShells('n1', (message) => sent.push(message));
  const ears = {
    opened: (credit: number) => heard.push(['opened', credit]),
    output: (data: Uint8Array) => heard.push(['output', data.length]),
    taken: (bytes: number) => heard.push(['taken', bytes]),
    ended: (end: ShellEnd) => ends.push(end),
  };
  const wish = { user: '', argv: [], term: 'xterm', columns: 80, rows: 24, now: false, credit: 10 };
  const [one, two] = [shells.begin(wish, ears), shells.begin(wish, ears)];
  t.same(
    sent.map(({ kind, value }) => [kind, 'shell' in value && value.shell]),
    [
      ['shell_open', 1],
      ['shell_open', 2],
    ],
  );
  shells.take({ kind: 'shell_opened', value: { shell: 1, credit: 5 } });
  shells.take({ kind: 'shell_output', value: { shell: 1, data: Buffer.alloc(10) } });
  one.granted(4);
  shells.take({ kind: 'shell_output', value: { shell: 1, data: Buffer.alloc(4) } });
  shells.take({ kind: 'shell_output', value: { shell: 9, data: Buffer.alloc(4) } });
  t.same(heard, [
    ['opened', 5],
    ['output', 10],
    ['output', 4],
  ]);
  shells.take({ kind: 'shell_output', value: { shell: 1, data: Buffer.alloc(1) } });
  t.match(ends, [{ report: { code: 'SHELL_OVERRUN' } }], 'more than was asked for');
  t.match(sent.at(-1), { kind: 'shell_close', value: { shell: 1 } });
  one.type(Buffer.from('x'));
  t.equal(sent.at(-1)?.kind, 'shell_close', 'to a shell that has ended nothing is sent');
  const junk = { shell: 2, code: 0, signal: 0, error: Buffer.from('{"code":1}') };
  shells.take({ kind: 'shell_ended', value: junk });
  t.match(ends.at(-1), { report: { code: 'REPORT_MALFORMED' } }, 'who waits for it is told at least that');
  shells.begin(wish, ears);
  const report = { code: 'PTY_MISSING', message: 'It does not load.', remedy: 'Look.', evidence: 'E'.repeat(10_000) };
  const why = Buffer.from(JSON.stringify(report));
  shells.take({ kind: 'shell_ended', value: { shell: 3, code: 0, signal: 0, error: why } });
  t.match(ends.at(-1), { report: { code: 'PTY_MISSING', evidence: /^E{4096}$/ } }, 'what the agent saw, within bounds');
  const last = shells.begin(wish, ears);
  shells.cut();
  t.match(ends.at(-1), { report: { code: 'SHELL_CUT', node: 'n1' } });
  for (const shell of [two, last]) shell.close();
  t.equal(ends.length, 4, 'an end is told once');
});

t.test('an older agent is refused in words, a node that is revoked is none', async (t) => {
  const session = { capabilities: new Set(['action:file@1']), version: '0.0.9' } as unknown as Session;
  const shells = (parts: Partial<ShellsParts>): Shells =>
    new Shells({
      fleet: { get: () => session } as unknown as ShellsParts['fleet'],
      identities: { node: () => ({ revoked: false }) } as unknown as ShellsParts['identities'],
      clock: { nowMs: () => 0, monotonicMs: () => 0 },
      timer: () => ({ refresh: () => {}, cancel: () => {} }),
      idleMs: 0,
      audit: () => {},
      ...parts,
    });
  const screen = { opened: () => {}, show: async () => {}, taken: () => {}, ended: () => {} };
  t.throws(() => shells({}).begin(WISH, screen), { code: 'AGENT_TOO_OLD', message: /0\.0\.9/ });
  const revoked = { node: () => ({ revoked: true }) } as unknown as ShellsParts['identities'];
  t.throws(() => shells({ identities: revoked }).begin(WISH, screen), { code: 'NODE_UNKNOWN' });
});

t.test('a recording of a session that never began leaves no file', async (t) => {
  const dir = t.testdir();
  const head = { columns: 80, rows: 24, term: 'xterm' };
  Recording.begin(join(dir, 'none.cast'), head, () => 0).end();
  const one = Recording.begin(join(dir, 'one.cast'), head, () => 0);
  one.shown(Buffer.from('x'));
  one.end();
  t.same(readdirSync(dir), ['one.cast']);
});
