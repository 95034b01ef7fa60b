import { contractOf } from '../../shared/actions/index.ts';
import { isBlock } from '../../shared/blocks.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import { evaluate, parseExpression, scopeOf, truthy } from '../../shared/expr/index.ts';
import { type Common, SHARE_FORMAT, type Vars } from '../../shared/share.ts';
import type { Plan, Play, RoleUse, TaskDocument } from '../plan/types.ts';
import { batchesOf } from './batches.ts';
import { type AnyEdge, findCycle } from './cycles.ts';
import { type DraftTask, draftTasks } from './draft.ts';
import { linkTasks, orderOf } from './edges.ts';
import { gatesOf } from './gates.ts';
import type { GraphPlay, GraphTask, RunKind, TaskGraph } from './graph.ts';
import { localReads } from './local-reads.ts';
import { NodeSets } from './node-set.ts';
import { resolveReads } from './reads.ts';
import { type RollbackTasks, rollbackTasks } from './rollback-tasks.ts';
import { resolveSecrets } from './secrets.ts';
import { type Locality, specOf } from './spec.ts';
import { baseVars } from './vars.ts';

export interface CompileOptions {
  /** Run-time variables, the strongest. */
  runVars: Vars;
  tags: readonly string[];
  skipTags: readonly string[];
  skipPrechecks: boolean;
  /** The precheck plays and nothing else. */
  prechecksOnly: boolean;
  kind: RunKind;
  /** What sensitive registers are sealed for that the controller itself reads; without it they do not travel. */
  sealKey?: string;
}

export const DEFAULT_COMPILE_OPTIONS: CompileOptions = {
  runVars: {},
  tags: [],
  skipTags: [],
  skipPrechecks: false,
  prechecksOnly: false,
  kind: 'plan',
};

/**
 * Plan -> task graph. Pure: vertices and edges come from plan and inventory alone (ENGINE 1.4).
 * Returns every problem it finds instead of a graph: cycles as a readable path, cross-node reads that lead nowhere.
 */
export function compile(
  plan: Plan,
  options: CompileOptions = DEFAULT_COMPILE_OPTIONS,
): { graph: TaskGraph } | { problems: ErrorReport[] } {
  const sets = new NodeSets(plan.inventory.nodes.length);
  const all = draftTasks(plan, sets, {
    tags: options.tags,
    skipTags: options.skipTags,
    skipPrechecks: options.skipPrechecks,
    prechecksOnly: options.prechecksOnly,
    mayRunOn: (task, use, play, node) => mayRunOn(plan, options.runVars, task, use, play, node),
  });
  const drafts = all.filter((draft) => draft.index >= 0);
  const plays = plan.plays.map((play, index) => graphPlay(plan, play, index, sets, options));
  const problems = linkTasks(plan, all, sets);

  const readsOf = drafts.map((draft) => {
    const resolved = resolveReads(plan, drafts, draft, sets);
    problems.push(...resolved.problems);
    return resolved.reads;
  });
  drafts.forEach((draft, index) => {
    const sources = new Set(readsOf[index]?.map((read) => read.task));
    for (const task of sources) draft.edges.push({ task, of: 'value' });
  });
  const locals = localReads(plan, drafts, sets);
  for (const { reader, task } of locals) {
    const edges = drafts[reader]?.edges ?? [];
    if (!edges.some((edge) => edge.task === task && edge.of === 'same')) edges.push({ task, of: 'same' });
  }
  const secretsOf = drafts.map((draft) => {
    const found = resolveSecrets(plan, all, draft);
    problems.push(...found.problems);
    draft.edges.push(...found.edges);
    return found.names;
  });
  const rollbacks = drafts.map((draft) => rollbackTasks(plan, all, draft, sets));
  problems.push(...rollbacks.flatMap((rollback) => rollback.problems));
  const isLocal = (task: number): boolean => drafts[task]?.document.place !== undefined;
  const sealed = new Set(locals.flatMap(({ reader, task }) => (isLocal(reader) && !isLocal(task) ? [task] : [])));
  const isSensitive = (task: number): boolean =>
    drafts[task]?.document.sensitive === true || (secretsOf[task] ?? []).length > 0;
  const sealedFor = (reader: DraftTask, tasks: Iterable<number>): ErrorReport[] =>
    [...tasks].flatMap((task) => (sealed.has(task) && isSensitive(task) ? sealedElsewhere(reader, drafts[task]) : []));
  for (const [index, draft] of drafts.entries()) {
    if (!isLocal(index)) problems.push(...sealedFor(draft, new Set(readsOf[index]?.map(({ task }) => task))));
    problems.push(...sealedFor(draft, rollbacks[index]?.exported ?? []));
  }
  const guarded = guardOf(plays, drafts);
  const order = orderOf(drafts);
  const prechecks = drafts.filter((draft) => plays[draft.play]?.precheck);
  const edges = drafts.map((draft, index): AnyEdge[] => [
    ...(order[index] ?? []).filter((edge) => edge.of !== 'value'),
    ...(readsOf[index] ?? []).map(({ task, nodeIndex }) => ({ task, of: 'value' as const, node: nodeIndex })),
    ...(guarded(draft) ? prechecks.map(({ index: task }) => ({ task, of: 'precheck' as const })) : []),
  ]);
  const cycle = findCycle(drafts, edges, plays, sets);
  if (cycle) problems.push(cycle);
  if (problems.length > 0) return { problems };

  const exported = new Set([
    ...readsOf.flat().map((read) => read.task),
    ...rollbacks.flatMap((rollback) => [...rollback.exported]),
    ...locals.map(({ task }) => task),
  ]);
  const sealOf = ({ index }: DraftTask): Pick<Locality, 'seal'> =>
    options.sealKey !== undefined && isSensitive(index) && sealed.has(index) ? { seal: { seal: options.sealKey } } : {};
  const specs = drafts.map((draft, index) =>
    specOf(draft, plan.plays[draft.play] as Play, readsOf[index] ?? [], exported.has(index), guarded(draft), {
      isLocal,
      secrets: secretsOf[index] ?? [],
      ...sealOf(draft),
    }),
  );
  const gates = gatesOf(
    drafts,
    specs,
    plays,
    sets,
    plan.inventory.nodes.map((node) => node.name),
  );
  const tasks = drafts.map((draft) => ({
    index: draft.index,
    play: draft.play,
    role: draft.role,
    name: draft.document.name,
    key: draft.key,
    action: draft.document.action,
    set: draft.set,
    edges: order[draft.index] ?? [],
    ignoreErrors: draft.document.ignoreErrors,
    permit: draft.document.permit,
    ...rollbackOf(rollbacks[draft.index]),
    ...(draft.document.anyErrorsFatal ? { isFatal: true as const } : {}),
  }));
  const graph: TaskGraph = {
    name: plan.name,
    kind: options.kind,
    nodes: plan.inventory.nodes.map((node) => node.name),
    sets: sets.sets,
    plays,
    tasks,
    gates,
    common: commonOf(plan, specs, options),
    hostVars: plan.inventory.nodes.map((node) => node.vars),
    ssh: Object.fromEntries(plan.inventory.nodes.flatMap(({ name, ssh }) => (ssh ? [[name, ssh]] : []))),
  };
  return { graph: Object.freeze(graph) };
}

/** What is sealed for the controller no node can read. */
function sealedElsewhere({ document }: DraftTask, source: DraftTask | undefined): ErrorReport[] {
  return [
    {
      code: 'READ_SEALED',
      message: `Task "${document.name}" reads on another node, or in its rollback, the sensitive register of task "${source?.document.name}", which a task on: controller reads, too: it leaves its node only sealed for the controller.`,
      remedy: 'Register what the controller is to read in a task of its own.',
      position: document.at,
    },
  ];
}

function rollbackOf(found: RollbackTasks | undefined): Pick<GraphTask, 'rollback'> {
  return found === undefined || found.specs.length === 0 ? {} : { rollback: found.specs };
}

/** Which tasks wait for the prechecks: those that change a node, after the first precheck play (ENGINE 1.5). */
function guardOf(plays: readonly GraphPlay[], drafts: readonly DraftTask[]): (draft: DraftTask) => boolean {
  const first = plays.findIndex((play) => play.precheck);
  // A block that waits for them does not hold its permit meanwhile.
  const blocks = new Set<DraftTask>();
  for (const { document, within } of drafts) {
    if (isBlock(document) || !changesNode(document.action)) continue;
    for (let around = within; around; around = around.block.within) blocks.add(around.block);
  }
  const changes = (draft: DraftTask): boolean =>
    isBlock(draft.document) ? blocks.has(draft) : changesNode(draft.document.action);
  return (draft) => first >= 0 && draft.play > first && !plays[draft.play]?.precheck && changes(draft);
}

function changesNode(action: string): boolean {
  return contractOf(action)?.changes ?? true;
}

function graphPlay(plan: Plan, play: Play, index: number, sets: NodeSets, options: CompileOptions): GraphPlay {
  const indexes = new Map(plan.inventory.nodes.map((node, i) => [node.name, i]));
  const set = sets.intern(play.nodes.map((name) => indexes.get(name) ?? -1).filter((i) => i >= 0));
  const serial = play.serial ? batchesOf(sets.get(set).members, play.serial, plan.inventory.nodes.length) : undefined;
  return {
    index,
    name: play.name,
    set,
    precheck: play.precheck && !options.skipPrechecks,
    batchOf: serial?.batchOf,
    batches: serial?.batches ?? 0,
    budget: play.anyErrorsFatal ? 0 : play.maxFailPercentage,
  };
}

function commonOf(plan: Plan, specs: Common['tasks'], options: CompileOptions): Common {
  const files: Record<string, string> = {};
  const roleDefaults: Record<string, Vars> = {};
  for (const role of Object.values(plan.roles)) {
    roleDefaults[role.name] = role.defaults;
    Object.assign(files, role.files);
  }
  return {
    format: SHARE_FORMAT,
    tasks: specs,
    roleDefaults,
    inventoryVars: plan.inventory.vars,
    groups: Object.fromEntries(
      Object.values(plan.inventory.groups).map((g) => [g.name, { nodes: g.nodes, vars: g.vars }]),
    ),
    nodes: Object.fromEntries(plan.inventory.nodes.map((n) => [n.name, { address: n.address, groups: n.groups }])),
    planVars: plan.config,
    runVars: options.runVars,
    files,
  };
}

/** A task and the blocks around it: what holds for the one must hold for the others. */
function around(task: TaskDocument): TaskDocument[] {
  return task.within ? [...around(task.within.block), task] : [task];
}

/**
 * Does the `when` of a `run_once` task hold on this node, as far as plan and inventory tell? A condition that needs facts or
 * registers counts as holding: the step is chosen now and never silently moved (ENGINE 1.6).
 */
function mayRunOn(plan: Plan, runVars: Vars, task: TaskDocument, use: RoleUse, play: Play, node: number): boolean {
  const scope = scopeOf(baseVars(plan, runVars, use.role, node, play.vars, use.vars));
  return [...use.when, ...around(task).flatMap(({ when }) => when)].every((condition) => {
    try {
      const at = { file: task.at.file, line: condition.at[0], column: condition.at[1] };
      return truthy(evaluate(parseExpression(condition.text, at), scope));
    } catch {
      return true;
    }
  });
}
