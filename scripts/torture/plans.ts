/** Random small plans, and what must come of them: worked out from the plan's shape alone, without any code of kk. Pure. */

export const NODES = ['n1', 'n2', 'n3'] as const;
export type NodeName = (typeof NODES)[number];

/** The kinds of tasks; all but `write` have an effect that must never happen twice. */
type Kind =
  /** Adds its key to the ledger. */
  | { kind: 'add' }
  /** Adds its key once for each item. */
  | { kind: 'loop'; items: number }
  /** Adds its key at each attempt; the attempt before the last fails. */
  | { kind: 'retry'; attempts: number }
  /** Adds its key, then fails on one node. */
  | { kind: 'fail'; on: NodeName; ignored: boolean }
  /** A file with its key: idempotent. */
  | { kind: 'write' };

type Task = Kind & {
  /** Waits for the task before on all nodes. */
  gated: boolean;
  /** `when` is false there. */
  not: NodeName | undefined;
};

export interface TorturePlan {
  name: string;
  text: string;
  nodes: readonly NodeName[];
  expected: Expected;
}

export interface Expected {
  status: 'done' | 'failed';
  /** Per node: how many steps must end how. */
  steps: ReadonlyMap<string, Counts>;
  /** Lines of the ledger: key to how often. */
  effects: ReadonlyMap<string, number>;
  /** Files and their content. */
  files: ReadonlyMap<string, string>;
}

export interface Counts {
  ok: number;
  skipped: number;
  failed: number;
  ignored: number;
  blocked: number;
}

export interface Places {
  /** Each effect is one line in it. */
  ledger: string;
  /** Folder for files. */
  files: string;
}

export function torturePlan(name: string, places: Places, random: () => number): TorturePlan {
  const below = (count: number): number => Math.floor(random() * count);
  const absent = random() < 0.5 ? undefined : NODES[below(NODES.length)];
  const nodes = NODES.filter((node) => node !== absent);
  const anyNode = (): NodeName => nodes[below(nodes.length)] ?? 'n1';
  const kindOf = (): Kind => {
    const luck = random();
    if (luck < 0.45) return { kind: 'add' };
    if (luck < 0.6) return { kind: 'loop', items: 2 + below(2) };
    if (luck < 0.72) return { kind: 'retry', attempts: 2 };
    if (luck < 0.82) return { kind: 'fail', on: anyNode(), ignored: random() < 0.6 };
    return { kind: 'write' };
  };
  const tasks = Array.from(
    { length: 4 + below(4) },
    (_, index): Task => ({
      ...kindOf(),
      gated: index > 0 && random() < 0.3,
      not: random() < 0.1 ? anyNode() : undefined,
    }),
  );
  return { name, nodes, text: textOf(name, nodes, tasks, places), expected: expectedOf(name, nodes, tasks, places) };
}

function textOf(name: string, nodes: readonly NodeName[], tasks: readonly Task[], { ledger, files }: Places): string {
  const add = (key: string): string => `echo ${key} >> ${ledger} && sync ${ledger}`;
  const taskText = (task: Task, index: number): string => {
    const key = `${name}/${index}/{{ node_name }}`;
    const words: string[] = [`id: t${index}`, `name: t${index}`];
    const shell = (line: string): void => void words.push(`command: {shell: ${JSON.stringify(line)}}`);
    if (task.kind === 'add') shell(add(key));
    if (task.kind === 'loop') {
      shell(add(`${key}/{{ item }}`));
      words.push(`loop: [${Array.from({ length: task.items }, (_, item) => `i${item}`)}]`);
    }
    if (task.kind === 'retry') {
      shell(`${add(key)} && [ $(grep -cx ${key} ${ledger}) -ge ${task.attempts} ]`);
      words.push('register: tried', 'until: tried.code == 0', `retries: ${task.attempts + 3}`, 'delay: 0');
    }
    if (task.kind === 'fail') {
      shell(`${add(key)} && [ {{ node_name }} != ${task.on} ]`);
      if (task.ignored) words.push('ignore_errors: true');
    }
    if (task.kind === 'write')
      words.push(`file: {path: "${files}/${name}-${index}-{{ node_name }}", content: "${key}"}`);
    if (task.gated) words.push(`needs: [{task: t${index - 1}, of: all}]`);
    if (task.not) words.push(`when: node_name != '${task.not}'`);
    return `            - {${words.join(', ')}}`;
  };
  return `apiVersion: kk.dev/v1
kind: Plan
metadata: {name: ${name}}
spec:
  inventory:
    hosts:
${nodes.map((node) => `      ${node}: {address: 127.0.0.${1 + NODES.indexOf(node)}}`).join('\n')}
  playbooks:
    - name: torture
      plays:
        - name: torture
          hosts: all
          max_fail_percentage: 100
          tasks:
${tasks.map(taskText).join('\n')}
`;
}

function expectedOf(name: string, nodes: readonly NodeName[], tasks: readonly Task[], { files }: Places): Expected {
  const steps = new Map<string, Counts>();
  const effects = new Map<string, number>();
  const contents = new Map<string, string>();
  for (const node of nodes) {
    const counts: Counts = { ok: 0, skipped: 0, failed: 0, ignored: 0, blocked: 0 };
    steps.set(node, counts);
    for (const [index, task] of tasks.entries()) {
      const key = `${name}/${index}/${node}`;
      if (counts.failed > 0) counts.blocked += 1;
      else if (task.not === node) counts.skipped += 1;
      else {
        if (task.kind === 'write') contents.set(`${files}/${name}-${index}-${node}`, key);
        else if (task.kind === 'loop')
          for (let item = 0; item < task.items; item += 1) effects.set(`${key}/i${item}`, 1);
        else effects.set(key, task.kind === 'retry' ? task.attempts : 1);
        if (task.kind !== 'fail' || task.on !== node) counts.ok += 1;
        else if (task.ignored) counts.ignored += 1;
        else counts.failed += 1;
      }
    }
  }
  const failed = [...steps.values()].some((counts) => counts.failed > 0);
  return { status: failed ? 'failed' : 'done', steps, effects, files: contents };
}
