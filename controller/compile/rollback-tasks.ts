import type { ErrorReport } from '../../shared/errors.ts';
import { analyse } from '../../shared/expr/index.ts';
import type { TaskSpec } from '../../shared/share.ts';
import type { Plan, Play } from '../plan/types.ts';
import type { DraftTask } from './draft.ts';
import type { NodeSets } from './node-set.ts';
import { type ResolvedRead, resolveReads, textsOf } from './reads.ts';
import { resolveSecrets } from './secrets.ts';
import { specOf } from './spec.ts';

export interface RollbackTasks {
  specs: TaskSpec[];
  /** Tasks whose registers the controller must be told: a later run cannot ask for them. */
  exported: ReadonlySet<number>;
  problems: ErrorReport[];
}

/**
 * The `rollback:` tasks of a task in their wire form. They run in a run of their own, so what they read of this one (a
 * register of their node or of another) travels to the controller when it is bound.
 */
export function rollbackTasks(plan: Plan, all: readonly DraftTask[], draft: DraftTask, sets: NodeSets): RollbackTasks {
  const drafts = all.filter(({ index }) => index >= 0);
  const exported = new Set<number>();
  const problems: ErrorReport[] = [];
  const specs = draft.document.rollback.map((own) => {
    const document = { ...own, vars: { ...draft.document.vars, ...own.vars } };
    // Its conditions are its own: those of role and task were about doing, not undoing. What its task binds is there.
    const roleUse = { ...draft.roleUse, when: [] };
    const key = `${draft.key}/rollback/${own.id}`;
    const reader: DraftTask = {
      ...draft,
      document,
      roleUse,
      key,
      index: draft.index + 1,
      edges: [],
      within: undefined,
    };
    const resolved = resolveReads(plan, drafts, reader, sets);
    problems.push(...resolved.problems);
    for (const task of [
      ...resolved.reads.map((read: ResolvedRead) => read.task),
      ...namedRegisters(plan, drafts, reader),
    ])
      exported.add(task);
    const { names: secrets, problems: ofSecrets } = resolveSecrets(plan, all, reader);
    problems.push(...ofSecrets);
    const around = { isLocal: () => false, secrets };
    const spec = specOf(reader, plan.plays[draft.play] as Play, resolved.reads, false, false, around);
    return { ...spec, needs: [] };
  });
  return { specs, exported, problems };
}

/** The tasks before it whose registers its texts name. */
function namedRegisters(plan: Plan, drafts: readonly DraftTask[], reader: DraftTask): number[] {
  const names = new Set(textsOf(plan, reader).flatMap(({ ast }) => analyse(ast).free.map(({ name }) => name)));
  return drafts.flatMap(({ index, document }) =>
    index < reader.index && document.register !== undefined && names.has(document.register.name) ? [index] : [],
  );
}
