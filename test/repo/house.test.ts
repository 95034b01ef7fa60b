/** What the project says of itself is true: examples, docs, what is generated, and the two spellings of the protocol. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import protobuf from 'protobufjs';
import t from 'tap';
import { parse } from 'yaml';
import { PASSED as AGENT_PASSED, AGENT_POINTS, WRITES as AGENT_WRITES } from '../../agent/durable/points.ts';
import { Cli, type CliParts } from '../../controller/cli/cli.ts';
import { buildProgram } from '../../controller/cli/program.ts';
import { compile, DEFAULT_COMPILE_OPTIONS } from '../../controller/compile/compile.ts';
import { SETTINGS } from '../../controller/config/settings.ts';
import { CONTROLLER_POINTS, WRITES as CONTROLLER_WRITES, PASSED } from '../../controller/durable/points.ts';
import { loadSources, parsePlan } from '../../controller/plan/index.ts';
import { errorCodes } from '../../scripts/generate/errors.ts';
import { GENERATED } from '../../scripts/generate.ts';
import { type Fields, MessageTypes } from '../support/message-types.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const text = (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8');

t.test('every example parses and compiles', async (t) => {
  const files = (await readdir(join(ROOT, 'examples'), { recursive: true })).filter((file) => file.endsWith('.yaml'));
  const plans: string[] = [];
  for (const file of files) if (parse(await text(`examples/${file}`))?.kind === 'Plan') plans.push(file);
  t.ok(plans.includes('precheck.yaml'));
  for (const file of plans) {
    const parsed = parsePlan(await loadSources(join(ROOT, 'examples', file), { playbookPath: [] }), { runVars: {} });
    if ('problems' in parsed) t.fail(file, { problems: parsed.problems });
    else t.notMatch(compile(parsed.plan, DEFAULT_COMPILE_OPTIONS), { problems: [] }, file);
  }
});

t.test('the plan of the README does, too', async (t) => {
  const [, plan = ''] = /^```yaml\n([\s\S]*?)^```$/m.exec(await text('README.md')) ?? [];
  const parsed = parsePlan({ plan: 'welcome.yaml', texts: { 'welcome.yaml': plan } }, { runVars: {} });
  if ('problems' in parsed) t.fail('it has problems', { problems: parsed.problems });
  else t.match(compile(parsed.plan, DEFAULT_COMPILE_OPTIONS), { graph: { nodes: ['node1', 'node2', 'node3'] } });
});

t.test('what is generated is current', async (t) => {
  for (const [path, make] of Object.entries(GENERATED))
    t.ok((await make()) === (await text(path)), `npm run generate: ${path}`);
});

t.test('what must survive a crash is written in one place, and every point to crash at is listed', async (t) => {
  const fromFs = /import ([^;]*?) from 'node:fs(?:\/promises)?'/g;
  const stray = /\* as|\b(?:rename|link|fsync|fdatasync|writeFile|copyFile)(?:Sync)?\b/g;
  /** What need not survive: a file of the cache, which is read against its digest; an executable is synced before it gets its name. */
  const may = ['agent/files/cache.ts rename', 'agent/install/place-executable.ts copyFile,link'];
  const writes = [...Object.keys(AGENT_WRITES), ...Object.keys(CONTROLLER_WRITES)];
  const listed = new Set([...AGENT_POINTS, ...CONTROLLER_POINTS]);
  const told = new Set<string>();
  const past: string[] = [];
  for (const side of ['agent', 'controller']) {
    for (const file of await readdir(join(ROOT, side), { recursive: true })) {
      const path = `${side}/${file}`;
      if (!path.endsWith('.ts')) continue;
      const source = await text(path);
      for (const [, point = ''] of source.matchAll(/crash\.at\('([^']+)'\)/g)) {
        told.add(point);
        t.ok(listed.has(point), `${path}: ${point} is in the list`);
      }
      if (file.startsWith('durable/')) continue;
      for (const write of writes) if (source.includes(`'${write}'`)) told.add(write);
      const imported = [...source.matchAll(fromFs)].flatMap(([, names = '']) => names.match(stray) ?? []);
      if (imported.length > 0) past.push(`${path} ${imported}`);
      // The journal says when, a disk that is handed in says how.
      if (path !== 'agent/executor/journal.ts' && /\.(?:data)?sync\(\)/.test(source)) past.push(`${path} .sync()`);
    }
  }
  t.strictSame(past.sort(), may.sort(), 'nothing is written past durable/');
  for (const name of [...writes, ...AGENT_PASSED, ...PASSED]) t.ok(told.has(name), `${name} is passed somewhere`);
});

t.test('every error says what to do', async (t) => {
  const codes = await errorCodes();
  t.ok(codes.has('INTERNAL') && codes.has('LIBC_MUSL') && codes.size > 150, `${codes.size} codes`);
  for (const file of new Set([...codes.values()].flat())) {
    if (/\bremedy: (''|""|``)/.test(await text(file))) t.fail(`an empty remedy in ${file}`);
  }
});

t.test('the README names every command and setting', async (t) => {
  const readme = await text('README.md');
  const parts = {
    settings: { stateFolder: '/x', color: false },
    out: process.stdout,
    err: process.stderr,
    version: '0',
  };
  const named = (command: Command, before: string): string[] =>
    command.commands.length === 0
      ? [`${before}${command.name()}`]
      : command.commands.flatMap((child) => named(child, `${before}${command.name()} `));
  const commands = named(await buildProgram(new Cli(parts as unknown as CliParts)), '');
  t.ok(commands.includes('kk-controller token create'));
  for (const command of commands) t.ok(readme.includes(command.replace('kk-controller ', '`')), `README: ${command}`);
  for (const { env } of SETTINGS) t.ok(readme.includes(env), `README: ${env}`);
});

t.test('every link between our pages leads somewhere', async (t) => {
  const pages = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md'];
  for (const page of await readdir(join(ROOT, 'docs'), { recursive: true })) {
    if (page.endsWith('.md')) pages.push(join('docs', page));
  }
  for (const page of pages) {
    for (const [, target = ''] of (await text(page)).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
      if (/^https?:/.test(target)) continue;
      const found = await readFile(join(ROOT, page, '..', target)).catch((error: NodeJS.ErrnoException) => error.code);
      if (found === 'ENOENT') t.fail(`${page} links to ${target}`);
    }
  }
});

t.test('messages.ts says what kk.proto says, field by field', async (t) => {
  const { root } = protobuf.parse(await text('shared/protocol/kk.proto'), { keepCase: true });
  root.resolveAll();
  const ours = new MessageTypes(await text('shared/protocol/messages.ts'));
  const compared = new Set<string>();
  const compare = (message: protobuf.Type, fields: Fields): void => {
    t.strictSame(fields, fieldsOf(message), message.name);
    for (const { resolvedType } of message.fieldsArray) {
      if (!(resolvedType instanceof protobuf.Type) || compared.has(resolvedType.name)) continue;
      compared.add(resolvedType.name);
      compare(resolvedType, ours.fields(resolvedType.name));
    }
  };
  for (const name of ['ToController', 'ToAgent'] as const) {
    const spec = root.lookupType(`kk.v1.${name}`).oneofs['body']?.fieldsArray ?? [];
    const bodies = ours.bodies(`${name}Bodies`);
    t.strictSame(Object.keys(bodies).sort(), spec.map((field) => field.name).sort(), `the kinds of ${name}`);
    for (const { name: kind, resolvedType } of spec) {
      if (resolvedType instanceof protobuf.Type) compare(resolvedType, bodies[kind] ?? {});
    }
  }
  t.ok(compared.has('Generation'), 'messages within messages, too');
});

/** Fields of a message of kk.proto as {@link MessageTypes} gives those of messages.ts. */
function fieldsOf(message: protobuf.Type): Fields {
  const word = (field: protobuf.Field): string => {
    if (field.resolvedType instanceof protobuf.Enum) return Object.keys(field.resolvedType.values).sort().join(' | ');
    return (
      { bytes: 'Uint8Array', string: 'string', bool: 'boolean' }[field.type] ?? field.resolvedType?.name ?? 'number'
    );
  };
  return Object.fromEntries(
    message.fieldsArray.map((field) => [field.name, word(field) + (field.repeated ? '[]' : '')]),
  );
}
