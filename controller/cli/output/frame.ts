import { stripVTControlCharacters } from 'node:util';
import type { Colors } from './colors.ts';
import { painted } from './colors.ts';
import { waitsText } from './event-text.ts';
import type { NodeProgress, Progress, RoleProgress } from './progress.ts';
import { clean, count, names, span } from './text.ts';

export interface FrameStyle {
  nowMs: number;
  columns: number;
  rows: number;
  colors: Colors;
}

const BAR = 16;
/** Lines kept free: the shell's prompt above, the cursor below. */
const SPARE_ROWS = 2;
/** Rarest news first: what a person looks for among thousands. */
const STATES = ['failed', 'unreachable', 'joining', 'working', 'waiting', 'blocked', 'cancelled', 'done'];

/**
 * The live part of `apply`: a line for the run, one for each role, one for each node; never higher than the terminal.
 * What does not fit is summed up: ended and coming roles in a line each, nodes by their state.
 */
export function progressFrame(progress: Progress, style: FrameStyle): string[] {
  const { run } = progress;
  if (!run) return [];
  const room = Math.max(4, style.rows - SPARE_ROWS - 1);
  const roles = [...progress.roles.values()];
  const nodes = [...progress.nodes.values()];
  const nodeRoom = Math.max(2, room - Math.min(roles.length, Math.ceil(room / 2)));
  const nodePart = nodeLines(nodes, nodeRoom, style);
  const rolePart = roleLines(roles, Math.max(2, room - nodePart.length), style);
  const elapsed = span(style.nowMs - Date.parse(run.created));
  const head = `${style.colors.bold(clean(run.name))}  run ${run.id}  ${elapsed}`;
  return [[head, ...waitsText(run)].join('  '), ...rolePart, ...nodePart].map((line) => cut(line, style.columns));
}

function roleLines(roles: readonly RoleProgress[], room: number, style: FrameStyle): string[] {
  const draw = (list: readonly RoleProgress[]): string[] => {
    const width = Math.min(32, Math.max(...list.map((role) => role.role.length), 0));
    return list.map((role) => roleLine(role, width, style.colors));
  };
  if (roles.length <= room) return draw(roles);
  const over = roles.filter((role) => role.ended >= role.steps && role.failed === 0);
  const open = roles.filter((role) => !over.includes(role));
  const shown = [...open].sort((a, b) => rank(a) - rank(b)).slice(0, Math.max(1, room - 2));
  const later = open.length - shown.length;
  return [
    ...(over.length > 0 ? [style.colors.dim(`${count(over.length, 'role')} done`)] : []),
    ...draw(open.filter((role) => shown.includes(role))),
    ...(later > 0 ? [style.colors.dim(`${count(later, 'more role')}`)] : []),
  ];
}

/** Failed ones, then those at work, then those that began, then the rest. */
function rank(role: RoleProgress): number {
  if (role.failed > 0) return 0;
  if (role.active.size > 0) return 1;
  return role.ended > 0 ? 2 : 3;
}

function roleLine(role: RoleProgress, width: number, colors: Colors): string {
  const done = role.steps === 0 ? BAR : Math.floor((role.ended / role.steps) * BAR);
  const paint = role.failed > 0 ? colors.red : role.ended >= role.steps ? colors.green : colors.cyan;
  const bar = `${paint('━'.repeat(done))}${colors.dim('─'.repeat(BAR - done))}`;
  const active = role.active.size > 0 ? `  on ${names([...role.active], 3)}` : '';
  const failed = role.failed > 0 ? `  ${colors.red(`${role.failed} failed`)}` : '';
  return `${clean(role.role).padEnd(width)}  ${bar}  ${role.ended}/${role.steps}${failed}${active}`;
}

function nodeLines(nodes: readonly NodeProgress[], room: number, style: FrameStyle): string[] {
  const { colors } = style;
  if (nodes.length <= room) {
    const width = Math.min(32, Math.max(...nodes.map(({ node }) => node.length), 0));
    return nodes.map((node) => nodeLine(node, width, style));
  }
  const byState = STATES.map((state) => [state, nodes.filter((node) => node.state === state).length] as const);
  const sum = byState
    .filter(([, amount]) => amount > 0)
    .map(([state, amount]) => `${amount} ${painted(state, colors)}`);
  const slowest = nodes
    .filter((node) => node.at.size > 0 || node.phase !== undefined)
    .sort((a, b) => since(a) - since(b))
    .slice(0, Math.max(0, room - 1));
  const width = Math.min(32, Math.max(...slowest.map(({ node }) => node.length), 0));
  return [`${count(nodes.length, 'node')}: ${sum.join(', ')}`, ...slowest.map((node) => nodeLine(node, width, style))];
}

function since(node: NodeProgress): number {
  return Math.min(...[...node.at.values()].map(({ sinceMs }) => sinceMs));
}

function nodeLine(node: NodeProgress, width: number, { nowMs, colors }: FrameStyle): string {
  const [task, ...others] = node.at.values();
  const says = task?.says === undefined ? '' : ` ${clean(task.says)}`;
  const doing = task ? `${clean(task.name)}${says} ${colors.dim(span(nowMs - task.sinceMs))}` : clean(node.phase ?? '');
  const more = others.length > 0 ? colors.dim(` and ${others.length} more`) : '';
  const state = `${painted(node.state, colors)}${' '.repeat(Math.max(0, 11 - node.state.length))}`;
  const numbers = `${node.ended}/${node.steps}${node.changed > 0 ? `, ${node.changed} changed` : ''}`;
  return `${clean(node.node).padEnd(width)}  ${state} ${numbers.padEnd(18)} ${doing}${more}`.trimEnd();
}

/** A line that would wrap counts twice against the height, so it is cut; it loses its colours with that. */
function cut(line: string, columns: number): string {
  const plain = stripVTControlCharacters(line);
  return plain.length < columns ? line : `${plain.slice(0, Math.max(1, columns - 2))}…`;
}
