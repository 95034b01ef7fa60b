import { isTemplate } from '../../shared/expr/index.ts';
import type { Json } from '../../shared/share.ts';
import { type Inventory, type Plan, TASK_DEFAULTS } from '../plan/index.ts';
import type { ExecRequest } from '../server/operations.ts';

/** One task on some nodes, without a plan file around it. */
interface AdHoc {
  name: string;
  /** At least one. */
  nodes: readonly string[];
  task: {
    id: string;
    action: string;
    inputs: Json;
    /** Seconds; 0: for ever. */
    timeout: number;
    /** So many nodes at a time. */
    forks: number | undefined;
  };
}

/** The plan of an ad-hoc command: one task on the selected nodes, a run like any other but without node locks. */
export function execPlan(inventory: Inventory, nodes: readonly string[], request: ExecRequest): Plan {
  const [first, ...rest] = request.argv;
  const inputs = rest.length === 0 ? { shell: literal(first) } : { argv: request.argv.map(literal) };
  const { timeoutSeconds: timeout, forks } = request;
  return adHocPlan(inventory, {
    name: `exec ${request.argv.join(' ')}`,
    nodes,
    task: { id: 'command', action: 'command', inputs, timeout, forks },
  });
}

/** Seconds in which a node tells its facts; a gatherer that hangs costs its own part only, and sooner. */
const FACTS_TIMEOUT = 60;

/** The plan by which nodes tell their facts anew. */
export function factsPlan(inventory: Inventory, nodes: readonly string[]): Plan {
  const task = { id: 'gather', action: 'facts', inputs: {}, timeout: FACTS_TIMEOUT, forks: undefined };
  return adHocPlan(inventory, { name: 'facts', nodes, task });
}

/** The plan by which one node looks who answers around it; `ports` of each address. */
export function scanPlan(
  inventory: Inventory,
  node: string,
  { addresses, ports, timeoutSeconds }: { addresses: string[]; ports: number[]; timeoutSeconds: number },
): Plan {
  const inputs = { addresses, ports, timeout_seconds: timeoutSeconds };
  const task = { id: 'scan', action: 'scan_ports', inputs, timeout: 0, forks: undefined };
  return adHocPlan(inventory, { name: 'scan', nodes: [node], task });
}

function adHocPlan(inventory: Inventory, { name, nodes, task: { id, forks, ...task } }: AdHoc): Plan {
  const at = { file: 'exec', line: 0, column: 0 };
  const chosen = new Set(nodes);
  const permit = forks === undefined ? undefined : { name: 'forks', count: forks };
  const tasks = [{ ...TASK_DEFAULTS, id, name: name.replace(/^exec /, '').slice(0, 120), at, ...task, permit }];
  return {
    name: name.slice(0, 120),
    inventory: { ...inventory, nodes: inventory.nodes.filter((node) => chosen.has(node.name)) },
    config: {},
    roles: { exec: { name: 'exec', defaults: {}, files: {}, tasks } },
    plays: [
      {
        name: 'exec',
        nodes: [...nodes],
        precheck: false,
        roles: [{ role: 'exec', tags: [], when: [], vars: {}, at }],
        serial: undefined,
        maxFailPercentage: undefined,
        anyErrorsFatal: false,
        afterAll: false,
        vars: {},
        at,
      },
    ],
  };
}

/** A person typed it: braces are theirs, not a template's. */
function literal(text: string): string {
  return isTemplate(text) ? `{{ ${JSON.stringify(text)} }}` : text;
}
