import type { RunView, StreamLine } from '../../views/types.ts';

export interface RoleProgress {
  play: string;
  role: string;
  steps: number;
  ended: number;
  failed: number;
  /** Nodes with a step of it at work. */
  active: Set<string>;
}

export interface NodeProgress {
  node: string;
  state: string;
  /** What joining is at. */
  phase: string | undefined;
  steps: number;
  ended: number;
  changed: number;
  failed: number;
  /** Tasks at work: key -> name and since when (milliseconds since 1970). */
  at: Map<string, { name: string; sinceMs: number; says?: string }>;
}

/**
 * Where a run stands, gathered from its stream. The first line gives the nodes and the numbers of steps; everything else
 * is counted from the lines that follow, since the stream tells a run from its beginning.
 */
export class Progress {
  run: RunView | undefined;
  readonly roles = new Map<string, RoleProgress>();
  readonly nodes = new Map<string, NodeProgress>();
  /** `play/role` of a task's key, longest first: a role's name may hold a slash. */
  #roleKeys: string[] = [];

  add(line: StreamLine): void {
    switch (line.type) {
      case 'run':
        this.#begin(line.run);
        return;
      case 'finished':
        this.run = line.run;
        return;
      case 'node': {
        const node = this.nodes.get(line.node);
        if (!node) return;
        node.state = line.state;
        node.phase = line.phase;
        if (line.state === 'unreachable') this.#leave(node);
        return;
      }
      case 'begun':
        this.#work(line.node, line.task, line.name, Date.parse(line.at), `${line.play}/${line.role}`);
        return;
      case 'ended':
        this.#end(line.node, line.task, line.ignored || line.caught ? 'ok' : line.outcome, line.changed);
        return;
      case 'blocked':
        for (const task of line.tasks) this.#end(line.node, task, 'blocked', false);
        return;
      case 'progress': {
        const task = this.nodes.get(line.node)?.at.get(line.task);
        if (task) task.says = line.text;
        return;
      }
      case 'log':
        return;
    }
  }

  #begin(run: RunView): void {
    this.run = run;
    this.roles.clear();
    this.nodes.clear();
    for (const { play, role, steps } of run.roles) {
      this.roles.set(`${play}/${role}`, { play, role, steps, ended: 0, failed: 0, active: new Set() });
    }
    this.#roleKeys = [...this.roles.keys()].sort((a, b) => b.length - a.length);
    for (const view of run.nodes) {
      const steps = view.ok + view.skipped + view.failed + view.ignored + view.rescued + view.blocked + view.pending;
      this.nodes.set(view.node, {
        node: view.node,
        state: 'waiting',
        phase: undefined,
        ...{ steps, ended: 0, changed: 0, failed: 0 },
        at: new Map(),
      });
    }
  }

  #work(name: string, task: string, taskName: string, sinceMs: number, role: string): void {
    const node = this.nodes.get(name);
    if (!node) return;
    if (node.state === 'waiting' || node.state === 'joining') node.state = 'working';
    node.phase = undefined;
    node.at.set(task, { name: taskName, sinceMs });
    this.roles.get(role)?.active.add(name);
  }

  #end(name: string, task: string, outcome: string, changed: boolean): void {
    const bad = outcome === 'failed' || outcome === 'interrupted' || outcome === 'unreachable';
    const role = this.#roleOf(task);
    if (role) {
      role.ended += 1;
      role.active.delete(name);
      if (bad) role.failed += 1;
    }
    const node = this.nodes.get(name);
    if (!node) return;
    node.at.delete(task);
    node.ended += 1;
    if (changed) node.changed += 1;
    if (bad) node.failed += 1;
    if (node.state === 'unreachable') return;
    if (node.failed > 0) node.state = 'failed';
    else if (node.ended >= node.steps) node.state = outcome === 'blocked' ? 'blocked' : 'done';
    else node.state = 'working';
  }

  #leave(node: NodeProgress): void {
    for (const task of node.at.keys()) this.#roleOf(task)?.active.delete(node.node);
    node.at.clear();
  }

  #roleOf(task: string): RoleProgress | undefined {
    const key = this.#roleKeys.find((role) => task.startsWith(`${role}/`));
    return key === undefined ? undefined : this.roles.get(key);
  }
}
