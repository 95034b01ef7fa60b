import { KkError } from '../../shared/errors.ts';
import { isTemplate } from '../../shared/expr/index.ts';
import { type Inventory, type Plan, TASK_DEFAULTS } from '../plan/index.ts';
import type { ExecRequest } from '../server/operations.ts';

/** The plan of an ad-hoc command: one task on the selected nodes, a run like any other but without node locks. */
export function execPlan(inventory: Inventory, request: ExecRequest): Plan {
  const nodes = selectNodes(inventory, request.selector);
  const at = { file: 'exec', line: 0, column: 0 };
  const [first, ...rest] = request.argv;
  const inputs = rest.length === 0 ? { shell: literal(first) } : { argv: request.argv.map(literal) };
  return {
    name: `exec ${request.argv.join(' ')}`.slice(0, 120),
    inventory: { ...inventory, nodes: inventory.nodes.filter((node) => nodes.has(node.name)) },
    config: {},
    roles: {
      exec: {
        name: 'exec',
        defaults: {},
        files: {},
        tasks: [
          {
            ...TASK_DEFAULTS,
            id: 'command',
            name: request.argv.join(' ').slice(0, 120),
            at,
            action: 'command',
            inputs,
            timeout: request.timeoutSeconds,
          },
        ],
      },
    },
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

/** Group and node names, `!x` takes away. Throws KkError SELECTOR_UNKNOWN, SELECTOR_EMPTY. */
export function selectNodes(inventory: Inventory, selector: readonly string[]): Set<string> {
  const selected = new Set<string>();
  const words = selector.flatMap((word) => word.split(/[:,]/)).filter((word) => word !== '');
  const everything = words.every((word) => word.startsWith('!'));
  if (everything) for (const node of inventory.nodes) selected.add(node.name);
  for (const word of words) {
    const name = word.replace(/^!/, '');
    const members =
      inventory.groups[name]?.nodes ?? (inventory.nodes.some((node) => node.name === name) ? [name] : undefined);
    if (!members) {
      throw new KkError({
        code: 'SELECTOR_UNKNOWN',
        message: `There is no node and no group "${name}".`,
        remedy: `Nodes: ${
          inventory.nodes
            .map((n) => n.name)
            .slice(0, 20)
            .join(', ') || 'none yet'
        }. Groups: ${Object.keys(inventory.groups).join(', ')}.`,
      });
    }
    for (const member of members) word.startsWith('!') ? selected.delete(member) : selected.add(member);
  }
  if (selected.size === 0) {
    throw new KkError({
      code: 'SELECTOR_EMPTY',
      message: `"${selector.join(' ')}" selects no node.`,
      remedy: 'See `kk-controller nodes` for the nodes there are.',
    });
  }
  return selected;
}

/** A person typed it: braces are theirs, not a template's. */
function literal(text: string): string {
  return isTemplate(text) ? `{{ ${JSON.stringify(text)} }}` : text;
}
