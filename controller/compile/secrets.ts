import { type ActionKind, runsProgram } from '../../shared/actions/index.ts';
import { isLocalAction } from '../../shared/actions/local.ts';
import { isPrivate, writesWithMode } from '../../shared/actions/private-file.ts';
import { isBlock } from '../../shared/blocks.ts';
import type { ErrorReport, Position } from '../../shared/errors.ts';
import { analyse, isTemplate, type SecretRead, secretReads } from '../../shared/expr/index.ts';
import type { Json } from '../../shared/share.ts';
import type { Plan, TaskDocument } from '../plan/types.ts';
import type { DraftTask } from './draft.ts';
import type { Edge } from './graph.ts';
import { type TaskText, textsOf } from './reads.ts';

/** What a task has to do with secrets. */
export interface TaskSecrets {
  /** Those that it asks for, sorted. */
  names: string[];
  /** To the steps that make them (ENGINE 1.2). */
  edges: Edge[];
  problems: ErrorReport[];
}

/**
 * The secrets that a task's texts ask for by `secret('name')` (ENGINE 2.7): each is made by an earlier `secret.make` of the
 * plan, and what is written to a file with it may be read by nobody but that file's owner and group. `all`: filtered tasks
 * too; a secret that one of them makes is taken for made.
 */
export function resolveSecrets(plan: Plan, all: readonly DraftTask[], draft: DraftTask): TaskSecrets {
  const documents = [draft.document, ...draft.document.recover];
  const textsBy = documents.map((document) => textsOf(plan, { ...draft, document }));
  const reads = textsBy.flatMap((texts) =>
    readsIn(
      texts.filter((text) => variableOf(text) === undefined),
      texts,
    ),
  );
  const names = [...new Set(reads.map(({ name }) => name))].sort();
  const problems: ErrorReport[] = [];
  const own = draft.document.action === 'secret.make' ? inputOf(draft.document, 'name') : '';
  if (typeof own === 'string' && isTemplate(own)) problems.push(nameNotKnown(draft));
  const [first] = reads;
  if (first === undefined) return { names, edges: [], problems };

  if (isBlock(draft.document) || isLocalAction(draft.document.action)) problems.push(notThere(draft, first));
  problems.push(
    ...documents.flatMap((document, index) => [
      ...readable(document, first),
      ...exposed(document, textsBy[index] ?? []),
    ]),
  );
  const edges: Edge[] = [];
  const made = all.filter(({ document }) => document.action === 'secret.make');
  for (const name of names) {
    const maker = made.findLast((d) => d.order < draft.order && inputOf(d.document, 'name') === name);
    if (maker === undefined) {
      const at = reads.find((read) => read.name === name) ?? first;
      problems.push(unknown(draft, at, made));
    } else if (maker.index >= 0 && !draft.edges.some(({ task, of }) => task === maker.index && of === 'all'))
      edges.push({ task: maker.index, of: 'all' });
  }
  return { names, edges, problems };
}

/** Of texts, and of the variables of their task that they name. `all`: every text of the task. */
function readsIn(texts: readonly TaskText[], all: readonly TaskText[]): SecretRead[] {
  const wanted = [...texts];
  const left = new Set(all.filter((text) => variableOf(text) !== undefined));
  for (const { ast } of wanted) {
    const named = new Set(analyse(ast).free.map(({ name }) => name));
    for (const text of left) {
      if (!named.has(variableOf(text) ?? '')) continue;
      left.delete(text);
      wanted.push(text);
    }
  }
  return wanted.flatMap(({ ast }) => secretReads(ast));
}

/** The variable of the task that the text is, or is part of. */
function variableOf({ pointer = '' }: TaskText): string | undefined {
  const [, word, name] = pointer.split('/');
  return word === 'vars' ? name : undefined;
}

/** What of a program's inputs other users of the node do not see, as they see its arguments. */
const HIDDEN = /^\/inputs\/(stdin|content)$/;

/** A secret among the arguments or in the environment of a program. */
function exposed(document: TaskDocument, texts: readonly TaskText[]): ErrorReport[] {
  if (!runsProgram(document.action)) return [];
  const open = texts.filter(({ pointer = '' }) => pointer.startsWith('/inputs/') && !HIDDEN.test(pointer));
  const [read] = readsIn(open, texts);
  if (read === undefined) return [];
  return [
    {
      code: 'SECRET_EXPOSED',
      message: `Task "${document.name}" gives the secret "${read.name}" to a program in its arguments or environment, where others can see it.`,
      remedy: 'Give it as stdin, or write it to a file of mode "0600" and name that.',
      position: read.origin,
    },
  ];
}

/** Those whose files everybody may read. */
const FOR_ALL: ReadonlySet<string> = new Set<ActionKind>(['cron', 'repository', 'systemd', 'timer']);

function readable(document: TaskDocument, { name, origin }: SecretRead): ErrorReport[] {
  const { action } = document;
  const told = (message: string, remedy: string, position: Position = origin): ErrorReport[] => [
    { code: 'SECRET_READABLE', message, remedy, position },
  ];
  if (FOR_ALL.has(action))
    return told(
      `What ${action} writes can be read by everybody on the node, and task "${document.name}" would put the secret "${name}" there.`,
      'Write it to a file of mode "0600" and let the program read that.',
    );
  const mode = inputOf(document, 'mode');
  if (!writesWithMode(action) || inputOf(document, 'state') === 'absent' || isPrivate(mode)) return [];
  if (typeof mode === 'string' && isTemplate(mode)) return [];
  const why = mode === undefined ? 'it states no mode' : `its mode is ${mode}`;
  return told(
    `Task "${document.name}" writes the secret "${name}" to a file that others may read: ${why}.`,
    'Give it mode: "0600", or "0640" and a group.',
  );
}

function inputOf({ inputs }: TaskDocument, name: string): Json | undefined {
  return typeof inputs === 'object' && inputs !== null && !Array.isArray(inputs) ? inputs[name] : undefined;
}

function nameNotKnown({ document }: DraftTask): ErrorReport {
  return {
    code: 'SECRET_NAME',
    message: `Task "${document.name}" makes a secret whose name is a template.`,
    remedy: 'Write the name itself: who may have which secret is known before anything runs.',
    position: document.at,
  };
}

function notThere({ document }: DraftTask, { name, origin }: SecretRead): ErrorReport {
  const where = isBlock(document) ? 'A block' : `The controller's own ${document.action}`;
  return {
    code: 'SECRET_PLACE',
    message: `${where} cannot read the secret "${name}": only tasks on nodes can.`,
    remedy: 'Ask for it in the task that needs it on its node.',
    position: origin,
  };
}

function unknown({ document }: DraftTask, { name, origin }: SecretRead, made: readonly DraftTask[]): ErrorReport {
  const names = [...new Set(made.flatMap((d) => inputOf(d.document, 'name') ?? []))].sort();
  const known = names.length === 0 ? '' : ` Made are: ${names.join(', ')}.`;
  return {
    code: 'SECRET_UNKNOWN',
    message: `secret('${name}') of task "${document.name}": no earlier task makes it.`,
    remedy: `Make it in a task before, on: controller, with secret.make: {name: ${name}, kind: …}.${known}`,
    position: origin,
  };
}
