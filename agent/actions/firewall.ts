import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { Diff } from '../../shared/share.ts';
import { contentDiff, sha256 } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { activeFirewall, type PortFirewall, type PortState } from './firewall-ports.ts';
import { inTurn } from './in-turn.ts';
import { portId } from './resources/firewall-port.ts';
import { facetsOf } from './resources/unit.ts';
import { systemctlOf } from './systemd-unit.ts';

type Input = ActionInput<'firewall'>;
type Output = ActionOutput<'firewall'>;

/** Services that guard a node, by the distributions' names. nftables forgets all rules when it is stopped. */
const UNITS = ['ufw', 'firewalld', 'nftables'] as const;

/** It starts by this alone: its service runs also when it is off. */
const UFW_CONF = '/etc/ufw/ufw.conf';

interface Guard {
  name: string;
  running: boolean;
  enabled: boolean;
}

interface OffPlan {
  guards: Guard[];
  /** ufw.conf as it is to be; undefined: it is so, or there is none. */
  conf: { before: Buffer; after: Buffer } | undefined;
}

interface PortsPlan {
  firewall: PortFirewall | undefined;
  place: string;
  closed: [port: string, state: PortState][];
}

const OPEN: PortState = { now: true, kept: true };

/** `root`: what /etc is below. */
export function firewallExecutor(root: string): ActionExecutor<'firewall'> {
  async function planOff({ host }: ActionContext): Promise<OffPlan> {
    const guards: Guard[] = [];
    const before = await host.files.read(root + UFW_CONF);
    const text = before?.toString('utf8') ?? '';
    const isUfwOn = /^ENABLED=yes/im.test(text);
    for (const name of UNITS) {
      const state = await systemctlOf(host).show(`${name}.service`);
      const facets = facetsOf(state);
      if (state.load === 'loaded' && (facets.running || facets.enabled)) guards.push({ name, ...facets });
    }
    const after = Buffer.from(text.replace(/^ENABLED=yes/im, 'ENABLED=no'));
    return { guards, conf: before !== undefined && isUfwOn ? { before, after } : undefined };
  }

  async function planPorts(input: Input, { host }: ActionContext): Promise<PortsPlan> {
    const firewall = await activeFirewall(host);
    if (firewall === undefined) {
      await refuseOthers(host);
      return { firewall, place: '', closed: [] };
    }
    const place = input.zone ?? (await firewall.place());
    const states = await firewall.look(place, input.ports ?? []);
    return { firewall, place, closed: [...states].filter(([, { now, kept }]) => !now || !kept) };
  }

  function offDiffs({ guards, conf }: OffPlan): Diff[] {
    const line = ({ name, running, enabled }: Guard): string =>
      `${name} ${running ? 'active' : 'inactive'} ${enabled ? 'enabled' : 'disabled'}\n`;
    const text = (all: readonly Guard[]): Buffer => Buffer.from(all.map(line).join(''));
    const off = guards.map((guard) => ({ ...guard, running: false, enabled: false }));
    const units = guards.length === 0 ? [] : [contentDiff('firewall', text(guards), text(off))];
    return [...units, ...(conf === undefined ? [] : [contentDiff(root + UFW_CONF, conf.before, conf.after)])];
  }

  async function switchOff(plan: OffPlan, context: ActionContext): Promise<Output> {
    const { host, signal } = context;
    const units = plan.guards.map(({ name }) => `${name}.service`);
    // The file last, so that it comes back first: ufw starts by it.
    for (const id of units)
      await context.remember({ kind: 'unit', id }, { state: 'unit', enabled: false, running: false });
    if (plan.conf !== undefined) {
      const path = root + UFW_CONF;
      const { mode, uid, gid } = (await host.files.stat(path)) ?? { mode: 0o644, uid: 0, gid: 0 };
      const left = { mode, uid, gid };
      await context.remember({ kind: 'file', id: path }, { state: 'file', content: sha256(plan.conf.after), ...left });
      // Its service takes the rules away only while the file says that it is on.
      const { code, stderr } = await host.run(['ufw', 'disable'], { timeoutMs: 60_000, signal });
      if (code !== 0 && code !== 127) throw notOff('ufw', stderr);
      await host.files.writeAtomic(path, plan.conf.after, left);
    }
    for (const unit of units) {
      await systemctlOf(host).act(['stop', '--', unit], unit, signal);
      await systemctlOf(host).act(['disable', '--', unit], unit, signal);
    }
    const after = await planOff(context);
    const still = after.guards[0]?.name;
    if (still !== undefined) throw notOff(still, 'systemctl stop and disable ended well');
    return { active: activeOf(plan), done: plan.guards.map(({ name }) => `${name} stopped and disabled`) };
  }

  async function openPorts({ firewall, place, closed }: PortsPlan, context: ActionContext): Promise<Output> {
    if (firewall === undefined) return { active: [], done: [] };
    for (const [port] of closed)
      await context.remember(
        { kind: 'firewall_port', id: portId(firewall.kind, place, port) },
        { state: 'port', ...OPEN },
      );
    for (const [port, state] of closed) await firewall.set(place, port, state, OPEN, context.signal);
    const states = await firewall.look(
      place,
      closed.map(([port]) => port),
    );
    const still = [...states].find(([, { now, kept }]) => !now || !kept);
    if (still !== undefined) throw notOpen(firewall.kind, still[0]);
    return portsOutput({ firewall, place, closed });
  }

  function portsOutput({ firewall, place, closed }: PortsPlan): Output {
    const where = place === '' ? '' : ` in ${place}`;
    return {
      active: firewall === undefined ? [] : [firewall.kind],
      done: closed.map(([port]) => `${port} opened${where}`),
    };
  }

  function portsDiffs({ firewall, place, closed }: PortsPlan): Diff[] {
    if (firewall === undefined || closed.length === 0) return [];
    const lines = closed.map(([port]) => `${port}\n`).join('');
    return [contentDiff([firewall.kind, place].filter(Boolean).join(' '), Buffer.alloc(0), Buffer.from(lines))];
  }

  const activeOf = ({ guards }: OffPlan): string[] => guards.filter(({ running }) => running).map(({ name }) => name);

  return {
    async inspect(input, context) {
      if (input.state === 'off') {
        const plan = await planOff(context);
        const output = { active: activeOf(plan), done: [] };
        const diffs = offDiffs(plan);
        return diffs.length === 0 ? { already: true, output } : { already: false, diffs, foreseen: output };
      }
      const plan = await planPorts(input, context);
      const output = portsOutput(plan);
      if (plan.closed.length === 0) return { already: true, output };
      return { already: false, diffs: portsDiffs(plan), foreseen: output };
    },

    apply: (input, context) =>
      inTurn(context.host.files, 'firewall', async () => {
        if (input.state === 'off') {
          const plan = await planOff(context);
          return { output: await switchOff(plan, context), diffs: offDiffs(plan) };
        }
        const plan = await planPorts(input, context);
        return { output: await openPorts(plan, context), diffs: portsDiffs(plan) };
      }),
  };
}

/** Rules that somebody wrote by hand: which of them a port must come before, nobody but they can tell. */
async function refuseOthers(host: ActionContext['host']): Promise<void> {
  const [tables, rules] = await Promise.all([
    host.run(['iptables', '-S', 'INPUT'], { timeoutMs: 10_000 }),
    host.run(['nft', 'list', 'chains'], { timeoutMs: 10_000 }),
  ]);
  const dropped = /^-P INPUT DROP/m.exec(tables.stdout)?.[0] ?? /hook input [^}]*policy drop/.exec(rules.stdout)?.[0];
  if (dropped === undefined) return;
  throw new KkError({
    code: 'FIREWALL_UNKNOWN',
    message: 'This node is guarded by rules of its own (iptables or nftables), in which kk opens no ports.',
    remedy:
      'Add the ports where those rules are kept (a file task and a command task that loads them), or switch the firewall off (firewall: off).',
    evidence: dropped,
  });
}

function notOff(name: string, said: string): KkError {
  return new KkError({
    code: 'FIREWALL_NOT_OFF',
    message: `${name} could not be switched off.`,
    remedy: `See systemctl status ${name} on the node: something may start it again.`,
    evidence: said.trim().slice(-2000),
  });
}

function notOpen(name: string, port: string): KkError {
  return new KkError({
    code: 'FIREWALL_NOT_OPEN',
    message: `${name} took the port ${port}, but does not list it.`,
    remedy: 'See on the node which rules it has: one that covers this port may be there already in other words.',
  });
}
