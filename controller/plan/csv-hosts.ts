import { type Cell, parseCsv } from './csv.ts';
import type { DocEntry, DocMap, DocNode, DocScalar } from './document.ts';
import { type Problems, show, suggest } from './problems.ts';
import { Ssh } from './schema.ts';

/** Columns there are, besides `vars.<name>` for any variable. */
const COLUMNS = ['name', 'address', 'groups', 'ssh', ...Object.keys(Ssh.shape).map((key) => `ssh.${key}`)];

/**
 * An inventory with the hosts of a table in place of its `csv`, beside those that it states itself; the groups that the table
 * names are filled, and made where they are not stated. Whatever is wrong in a cell is then told at that cell by those who
 * read inventories.
 */
export function withCsvHosts(root: DocMap, file: string, text: string, problems: Problems): DocMap {
  const at = { file, line: 1, column: 1 };
  const [head = [], ...rows] = parseCsv(file, text, problems);
  const columns = columnsOf(head, problems);
  const hosts = new Map(mapAt(root, 'hosts')?.entries);
  const members = new Map<string, { key: Cell; names: DocScalar[] }>();
  for (const row of rows) {
    const cells = new Map<string, Cell>();
    for (const [i, cell] of row.entries()) {
      const column = columns[i];
      if (column !== undefined && cell.text !== '') cells.set(column, cell);
      else if (i >= head.length && cell.text !== '') tellExtra(cell, head.length, problems);
    }
    const name = cells.get('name');
    const first = name ?? [...cells.values()][0];
    if (!name) {
      if (first) problems.add('PLAN_MISSING', first.at, 'This host lacks a name.', 'Fill the column name.');
      continue;
    }
    const before = hosts.get(name.text);
    if (before) {
      const message = `The host ${name.text} is there twice, first in line ${before.key.line} of ${before.key.file}.`;
      problems.add('PLAN_DUPLICATE_NAME', name.at, message, 'Let each host be named once.');
      continue;
    }
    hosts.set(name.text, { key: name.at, value: hostOf(name, cells) });
    for (const group of cells.get('groups')?.text.split(/[\s;,|]+/) ?? []) {
      const key = cells.get('groups') ?? name;
      const known = members.get(group) ?? { key, names: [] };
      if (group !== '') members.set(group, { ...known, names: [...known.names, scalar(name, name.text)] });
    }
  }
  const groups = withMembers(mapAt(root, 'groups'), members, at);
  const entries = new Map(root.entries);
  entries.delete('csv');
  entries.set('hosts', entryOf(root, 'hosts', mapOf(at, hosts)));
  if (groups.entries.size > 0) entries.set('groups', entryOf(root, 'groups', groups));
  return { ...root, entries };
}

/** The columns in order; undefined for what has no usable head. */
function columnsOf(head: readonly Cell[], problems: Problems): (string | undefined)[] {
  const seen = new Set<string>();
  const columns = head.map(({ text, at }) => {
    if (seen.has(text)) {
      problems.add('PLAN_CSV', at, `The column ${show(text)} is there twice.`, 'Keep one of the two.');
      return undefined;
    }
    seen.add(text);
    if (COLUMNS.includes(text) || /^vars\../.test(text)) return text;
    const remedy = `${suggest(text, COLUMNS)} A variable of the host is vars.${/^\w+$/.test(text) ? text : 'name'}.`;
    problems.add('PLAN_UNKNOWN_KEY', at, `There is no column ${show(text)}.`, remedy);
    return undefined;
  });
  const [first] = head;
  for (const column of ['name', 'address']) {
    if (first && !seen.has(column))
      problems.add('PLAN_MISSING', first.at, `The table lacks the column "${column}".`, `Add "${column}".`);
  }
  return columns;
}

function tellExtra(cell: Cell, width: number, problems: Problems): void {
  problems.add(
    'PLAN_CSV',
    cell.at,
    `This row has more than the ${width} fields of the first one.`,
    'Put a text with a comma in it into quotes.',
  );
}

/** The host as an inventory would state it. */
function hostOf(name: Cell, cells: ReadonlyMap<string, Cell>): DocMap {
  const entries = new Map<string, DocEntry>();
  const inner = new Map<string, Map<string, DocEntry>>();
  for (const [column, cell] of cells) {
    const [, outer = '', key = ''] = /^(ssh|vars)\.(.*)$/s.exec(column) ?? [];
    if (outer === '') {
      if (column === 'address' || column === 'ssh') {
        const value = column === 'ssh' ? plain(cell.text) : cell.text;
        entries.set(column, { key: cell.at, value: scalar(cell, value) });
      }
      continue;
    }
    const isNumber = outer === 'vars' || key === 'port';
    const value = scalar(cell, isNumber ? plain(cell.text) : cell.text);
    inner.set(outer, (inner.get(outer) ?? new Map<string, DocEntry>()).set(key, { key: cell.at, value }));
  }
  for (const [key, fields] of inner) entries.set(key, { key: name.at, value: mapOf(name.at, fields) });
  return mapOf(name.at, entries);
}

/** Whole numbers, true and false are what they look like; all else is text: 1.30 stays a version. */
function plain(text: string): string | number | boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^(?:0|-?[1-9]\d{0,14})$/.test(text) ? Number(text) : text;
}

function withMembers(
  stated: DocMap | undefined,
  members: ReadonlyMap<string, { key: Cell; names: DocScalar[] }>,
  at: DocNode['at'],
): DocMap {
  const groups = new Map(stated?.entries);
  for (const [group, { key, names }] of members) {
    const before = groups.get(group);
    groups.set(
      group,
      before ? { ...before, value: withHosts(before.value, names) } : { key: key.at, value: listOf(key.at, names) },
    );
  }
  return mapOf(stated?.at ?? at, groups);
}

/** A stated group with more hosts: a map with `hosts`, or a list of them. */
function withHosts(group: DocNode, names: DocScalar[]): DocNode {
  if (group.kind === 'list') return listOf(group.at, [...group.items, ...names]);
  if (group.kind !== 'map') return group;
  const hosts = group.entries.get('hosts');
  const list = hosts?.value.kind === 'list' ? hosts.value.items : [];
  const value = listOf(hosts?.value.at ?? group.at, [...list, ...names]);
  return mapOf(group.at, new Map(group.entries).set('hosts', { key: hosts?.key ?? group.at, value }));
}

function mapAt(root: DocMap, key: string): DocMap | undefined {
  const value = root.entries.get(key)?.value;
  return value?.kind === 'map' ? value : undefined;
}

function entryOf(root: DocMap, key: string, value: DocNode): DocEntry {
  return { key: root.entries.get(key)?.key ?? value.at, value };
}

function scalar(cell: Cell, value: DocScalar['value']): DocScalar {
  return { kind: 'scalar', at: cell.at, size: 1, value, content: cell.at, literal: false };
}

function mapOf(at: DocNode['at'], entries: Map<string, DocEntry>): DocMap {
  return { kind: 'map', at, size: [...entries.values()].reduce((sum, { value }) => sum + value.size, 1), entries };
}

function listOf(at: DocNode['at'], items: DocNode[]): DocNode {
  return { kind: 'list', at, size: items.reduce((sum, { size }) => sum + size, 1), items };
}
