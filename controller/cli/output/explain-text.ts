import type { ExplainPlay, ExplainTask, ExplainView } from '../../views/explain.ts';
import type { Colors } from './colors.ts';
import { clean, count, names } from './text.ts';

/** The plan as an outline: plays, roles, tasks; of each only what is not as one would expect. */
export function explainLines(view: ExplainView, colors: Colors): string[] {
  const head = `${colors.bold(clean(view.name))}: ${count(view.nodes.length, 'node')}, ${count(view.plays.length, 'play')}, ${count(view.steps, 'step')}`;
  if (view.plays.length === 0) return [head, 'Nothing to run.'];
  return [head, ...view.plays.flatMap((play, at) => ['', ...playLines(play, at + 1, colors)])];
}

function playLines(play: ExplainPlay, number: number, colors: Colors): string[] {
  const about = [
    ...(play.precheck ? ['every later change waits for it'] : []),
    ...(play.afterPrechecks ? ['after all prechecks'] : []),
    ...(play.batches.length > 0 ? [`${play.batches.length} batches`] : []),
    ...(play.maxFailPercentage === undefined
      ? []
      : [`stops when more than ${play.maxFailPercentage} % of its nodes failed`]),
  ];
  return [
    `${number}. ${colors.bold(clean(play.play))} on ${where(play.nodes)}${about.length > 0 ? `; ${about.join('; ')}` : ''}`,
    ...play.batches.map((batch, at) => `   batch ${at + 1}: ${names(batch.map(clean))}`),
    ...play.roles.flatMap(({ role, tasks }) => [
      `   ${colors.cyan(clean(role))}`,
      ...tasks.flatMap((task, at) => [...partLine(task, tasks[at - 1]), taskLine(task, play, colors)]),
    ]),
  ];
}

/** Where another part of a block begins: `rescue`, `always`. */
function partLine(task: ExplainTask, before: ExplainTask | undefined): string[] {
  const at = task.within.at(-1);
  if (at === undefined || at.part === 'block') return [];
  const isSame = before?.within.some(({ block, part }) => block === at.block && part === at.part);
  return isSame ? [] : [`     ${'    '.repeat(task.within.length - 1)}  ${at.part}`];
}

function taskLine(task: ExplainTask, play: ExplainPlay, colors: Colors): string {
  const elsewhere = task.nodes.length !== play.nodes.length || task.nodes.some((node, at) => node !== play.nodes[at]);
  const details = [
    ...(task.place ? [`by the controller${elsewhere ? `, for ${where(task.nodes)}` : ', for each'}`] : []),
    ...(elsewhere && !task.place ? [`on ${where(task.nodes)}`] : []),
    ...(task.conditional ? ['if its condition holds'] : []),
    ...(task.waitsFor.length > 0 ? [`after ${task.waitsFor.map(clean).join(' and ')}`] : []),
    ...(task.permit ? [`${task.permit.count} at a time (${clean(task.permit.name)})`] : []),
    ...(task.lock === undefined ? [] : [`lock ${clean(task.lock)}`]),
    ...(task.alone ? ['alone on its node'] : []),
  ];
  const rest = details.length > 0 ? colors.dim(`; ${details.join('; ')}`) : '';
  return `     ${'    '.repeat(task.within.length)}${clean(task.task)} ${colors.dim(`[${task.action}]`)}${rest}`;
}

function where(nodes: readonly string[]): string {
  if (nodes.length === 0) return 'no node';
  return nodes.length <= 5
    ? nodes.map(clean).join(', ')
    : `${count(nodes.length, 'node')} (${names(nodes.map(clean), 3)})`;
}
