import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { blockInFileExecutor } from '../../agent/actions/block-in-file.ts';
import type { ActionKind } from '../../shared/actions/index.ts';
import { ACTIONS } from '../../shared/actions/index.ts';
import { contextWith, realHost } from '../support/real-host.ts';
import { failure, Node } from '../support/undo-node.ts';

/** A file, actions on it, and what it then holds. */
function fileIn(dir: string, host = realHost()) {
  const path = join(dir, 'file');
  const node = new Node(dir, host);
  let run = 0;
  const act = (kind: ActionKind) => (input: object) => {
    run += 1;
    return node.do(`r${run}`, kind, { path, ...input }, 'x');
  };
  return {
    path,
    node,
    line: act('line_in_file'),
    block: act('block_in_file'),
    undo: () => node.undo(`r${run}`, 'x'),
    write: (text: string | Buffer) => writeFileSync(path, text),
    get text() {
      return readFileSync(path, 'utf8');
    },
  };
}

t.test('what contradicts itself is refused before anything runs', (t) => {
  const refuses = (kind: 'line_in_file' | 'block_in_file', input: object, why: RegExp) =>
    t.match(ACTIONS[kind].input.safeParse({ path: '/a', ...input }).error?.message, why, JSON.stringify(input));
  refuses('line_in_file', {}, /which line/);
  refuses('line_in_file', { line: 'a\nb' }, /no line break/);
  refuses('line_in_file', { line: 'a', regexp: '(' }, /not a valid regular expression/);
  refuses('line_in_file', { line: 'a', insert_after: 'a', insert_before: 'b' }, /at most one/);
  refuses('line_in_file', { state: 'absent' }, /exactly one/);
  refuses('line_in_file', { state: 'absent', line: 'a', regexp: 'a' }, /exactly one/);
  refuses('line_in_file', { state: 'absent', line: 'a', create: true }, /only takes text out/);
  refuses('block_in_file', { block: 'b' }, /exactly one of name and marker/);
  refuses('block_in_file', { block: 'b', marker: '# x' }, /\{mark\} once/);
  refuses('block_in_file', { name: 'x' }, /give block/);
  refuses('block_in_file', { name: 'x', block: 'b', state: 'absent' }, /give block/);
  refuses('block_in_file', { name: 'x', block: 'b', template: 't' }, /give block or template/);
  refuses('block_in_file', { name: 'x', block: 'a\n# END KK MANAGED BLOCK x\n' }, /own markers/);
  t.end();
});

t.test('line: replaced, added, taken out; again nothing changes; undone byte by byte', async (t) => {
  const dir = t.testdir();
  const file = fileIn(dir);
  /** From text to text by one action, which then has nothing left to do; and back. */
  const becomes = async (before: string, input: object, after: string, what: string) => {
    file.write(before);
    t.match(await file.line(input), { changed: before !== after }, what);
    t.equal(file.text, after, what);
    if (before !== after) await file.undo();
    t.equal(file.text, before, `${what}: undone`);
    await file.line(input);
    t.match(await file.line(input), { changed: false, diffs: [] }, `${what}: again`);
  };
  const root = { regexp: '^#?PermitRootLogin\\b', line: 'PermitRootLogin no' };
  await becomes('a\n#PermitRootLogin yes\nb\n', root, 'a\nPermitRootLogin no\nb\n', 'a match is replaced');
  await becomes(
    'PermitRootLogin 1\nPermitRootLogin 2\n',
    root,
    'PermitRootLogin 1\nPermitRootLogin no\n',
    'the last match',
  );
  await becomes('a\n', { ...root, insert_before: 'BOF' }, 'PermitRootLogin no\na\n', 'no match: at the beginning');
  await becomes('a\nb\na\nc\n', { line: 'x', insert_after: '^a' }, 'a\nb\na\nx\nc\n', 'after the last match');
  await becomes('a\nb\na\nc\n', { line: 'x', insert_before: '^a' }, 'a\nb\nx\na\nc\n', 'before the last match');
  await becomes('a\n', { line: 'x', insert_after: 'none' }, 'a\nx\n', 'at the end where nothing matches');
  await becomes('a', { line: 'x' }, 'a\nx\n', 'a last line without line break gets one');
  await becomes('x\na', { line: 'b', regexp: '^a' }, 'x\nb', 'but not when it is replaced');
  await becomes('', { line: 'x' }, 'x\n', 'an empty file');
  await becomes(
    'a\r\nb\r\n',
    { line: 'x', insert_after: '^a$' },
    'a\r\nx\r\nb\r\n',
    'CRLF stays, and is no part of a line',
  );
  await becomes('a\r\nb\r\n', { line: 'x', regexp: '^a$' }, 'x\r\nb\r\n', 'CRLF of a replaced line');
  await becomes('a\n', { line: 'a' }, 'a\n', 'there already');
  await becomes('#s 1\n#s 2\n', { line: 's', regexp: '^#s' }, '#s 1\ns\n', 'a second run takes no further match');
  await becomes('s\n#s\n', { line: 's', regexp: '^#s' }, 's\n#s\n', 'nor one where the line is there');
  await becomes('A=1\n', { line: 'a=2', regexp: '(?i)^a\\=' }, 'a=2\n', 'spellings of Python');
  await becomes('a\nb\na\n', { line: 'a', state: 'absent' }, 'b\n', 'all of them are taken out');
  await becomes('a1\nb\na2', { regexp: '^a', state: 'absent' }, 'b\n', 'all that match');
  await becomes('b\n', { regexp: '^a', state: 'absent' }, 'b\n', 'none to take out');
});

t.test('block: added, replaced where it stands, taken out; again nothing changes; undone', async (t) => {
  const dir = t.testdir();
  const file = fileIn(dir);
  const [begin, end] = ['# BEGIN KK MANAGED BLOCK hosts', '# END KK MANAGED BLOCK hosts'];
  const hosts = (block: string, more: object = {}) => file.block({ name: 'hosts', block, ...more });
  file.write('top\nbottom');
  t.match((await hosts('1 a\n2 b\n')).diffs, [{ unified: /\+1 a\n\+2 b\n/ }]);
  t.equal(file.text, `top\nbottom\n${begin}\n1 a\n2 b\n${end}\n`);
  t.match(await hosts('1 a\n2 b'), { changed: false });
  await file.block({ name: 'other', block: 'x', insert_before: 'BOF' });
  await hosts('3 c', { insert_before: 'BOF' });
  t.match(file.text, `bottom\n${begin}\n3 c\n${end}\n`, 'it is not moved');
  await file.undo();
  t.match(file.text, '1 a\n2 b');
  await hosts('');
  const other = '# BEGIN KK MANAGED BLOCK other\nx\n# END KK MANAGED BLOCK other\n';
  t.equal(file.text, `${other}top\nbottom\n`, 'an empty block is none');
  t.match(await file.block({ name: 'hosts', state: 'absent' }), { changed: false });
  await file.block({ name: 'other', state: 'absent' });
  t.equal(file.text, 'top\nbottom\n');

  file.write('a\r\nb\r\n');
  await file.block({ marker: '<!-- {mark} kk -->', block: 'x\ny\n', insert_after: '^a$' });
  t.equal(file.text, 'a\r\n<!-- BEGIN kk -->\r\nx\r\ny\r\n<!-- END kk -->\r\nb\r\n');
  t.match(await file.block({ marker: '<!-- {mark} kk -->', block: 'x\ny\n' }), { changed: false });

  for (const [text, evidence] of [
    [`${begin}\na\n`, 'line 1: # BEGIN KK MANAGED BLOCK hosts'],
    [`${end}\n${begin}\n`, /line 1: # END.*\nline 2: # BEGIN/],
    [`${begin}\n${end}\n${begin}\n${end}\n`, /line 4: # END/],
  ] as const) {
    file.write(text);
    t.match(await failure(hosts('x')), { code: 'BLOCK_MARKERS_BROKEN', evidence }, text);
    t.equal(file.text, text);
  }
});

t.test('the file: made where that is meant, attributes kept or set, and what stands in the way', async (t) => {
  const dir = t.testdir({ sub: {} });
  const file = fileIn(dir);
  t.match(await failure(file.line({ line: 'a' })), { code: 'FILE_MISSING', remedy: /create: true/ });
  t.match(await file.line({ line: 'a', state: 'absent' }), { changed: false }, 'what is not there has no such line');
  t.match(await file.block({ name: 'x', block: 'a', create: true, mode: '0600' }), { output: { mode: '0600' } });
  await file.undo();
  t.notOk(existsSync(file.path), 'undone: no file');
  await file.line({ line: 'a', create: true });
  t.equal(statSync(file.path).mode & 0o777, 0o644);
  chmodSync(file.path, 0o640);
  t.match(await file.line({ line: 'b' }), { output: { mode: '0640' } });
  t.match(await file.line({ line: 'b', mode: '0600' }), { diffs: [{ before: 'mode: 0640' }] });
  await file.undo();
  t.equal(statSync(file.path).mode & 0o777, 0o640);

  await file.line({ line: 'c' });
  file.write('by hand\n');
  t.match(await failure(file.undo()), { code: 'UNDO_CONFLICT' });
  t.equal(file.text, 'by hand\n');

  symlinkSync(file.path, join(dir, 'link'));
  const at = (path: string) => failure(file.line({ path, line: 'x', create: true }));
  t.match(await at(join(dir, 'link')), { code: 'FILE_NOT_REGULAR', message: /symlink/ });
  t.match(await at(join(dir, 'sub')), { code: 'FILE_NOT_REGULAR', message: /directory/ });
  t.match(await at(join(dir, 'no/such')), { code: 'FOLDER_MISSING' });
  for (const bytes of [Buffer.from([97, 0, 10]), Buffer.from([0xff, 0xfe, 97])]) {
    file.write(bytes);
    t.match(await at(file.path), { code: 'FILE_NOT_TEXT' });
    t.same(readFileSync(file.path), bytes);
  }
  file.write(Buffer.alloc(9 * 1024 * 1024, 'a\n'));
  t.match(await at(file.path), { code: 'FILE_TOO_LARGE' });
});

t.test("steps that run side by side do not take each other's lines away", async (t) => {
  const dir = t.testdir({ file: '' });
  const file = fileIn(dir);
  const numbers = Array.from({ length: 10 }, (_, index) => `line ${index}`);
  await Promise.all(numbers.map((line) => file.line({ line })));
  t.same(file.text.trim().split('\n').sort(), numbers);
});

t.test('a stranger can neither make an expression run for ever nor swap another file in', async (t) => {
  const dir = t.testdir();
  const file = fileIn(dir);
  file.write(`${'a'.repeat(40)}b\n`);
  t.match(await failure(file.line({ line: 'x', regexp: '^(a+)+$' })), { code: 'REGEXP_TOO_SLOW', remedy: /\(a\+\)\+/ });
  t.equal(file.text, `${'a'.repeat(40)}b\n`);

  mkdirSync(join(dir, 'theirs'));
  writeFileSync(join(dir, 'secret'), 'of root\n');
  symlinkSync(join(dir, 'secret'), join(dir, 'theirs/conf'));
  const real = realHost();
  // Looked at, it is a file; when it is read, they have put a symlink there.
  const stat = (path: string) => real.files.stat(path.endsWith('theirs/conf') ? join(dir, 'secret') : path);
  const swapped = fileIn(dir, { ...real, files: { ...real.files, stat } });
  const theirs = { path: join(dir, 'theirs/conf'), line: 'x' };
  t.match(await failure(swapped.line(theirs)), { code: 'FILE_CHANGING' });
  t.equal(readFileSync(join(dir, 'secret'), 'utf8'), 'of root\n');
});

t.test("a block from the role's template, rendered with the step's variables", async (t) => {
  const dir = t.testdir({ file: 'a\n' });
  const path = join(dir, 'file');
  let text = '{{ nodes }}\n';
  const context = contextWith(realHost(), dir, {
    roleFile: (name) => (name === 'templates/nodes.j2' ? text : undefined),
    render: (template) => template.replace('{{ nodes }}', 'n1\nn2'),
  });
  const input = (template: string) => ACTIONS.block_in_file.input.parse({ path, name: 'x', template });
  await blockInFileExecutor.apply(input('nodes.j2'), context);
  t.equal(readFileSync(path, 'utf8'), 'a\n# BEGIN KK MANAGED BLOCK x\nn1\nn2\n# END KK MANAGED BLOCK x\n');
  t.match(await blockInFileExecutor.inspect(input('nodes.j2'), context), { already: true });
  text = 'a\n# END KK MANAGED BLOCK x\n';
  t.match(await failure(blockInFileExecutor.inspect(input('nodes.j2'), context)), { code: 'BLOCK_HOLDS_MARKERS' });
  t.match(await failure(blockInFileExecutor.inspect(input('none'), context)), { code: 'ROLE_FILE_MISSING' });
});
