/** Firewalls that keep a list of ports, each by its own program. */
import { KkError } from '../../shared/errors.ts';
import type { Host, RunOutput } from '../host/host.ts';

/** Is a port let through now, and after a boot? */
export interface PortState {
  now: boolean;
  kept: boolean;
  /** Of a range that is not let through as a whole: what of it is, divided by blanks. Absent: nothing. */
  partlyNow?: string;
  partlyKept?: string;
  /** What else is said of this very port: `limit`, `deny`. A rule of ufw that lets it through takes the place of that one. */
  verb?: string;
}

export interface PortFirewall {
  readonly kind: 'firewalld' | 'ufw';
  isActive(): Promise<boolean>;
  /** Where ports are opened when a task does not say where; empty: it has no places. */
  place(): Promise<string>;
  look(place: string, ports: readonly string[]): Promise<Map<string, PortState>>;
  set(place: string, port: string, state: PortState, wanted: PortState, signal: AbortSignal): Promise<void>;
}

type Argv = readonly [string, ...string[]];

function failed(argv: Argv, { code, stdout, stderr }: RunOutput): KkError {
  return new KkError({
    code: 'FIREWALL_FAILED',
    message: `${argv.join(' ')} ended with ${code}.`,
    remedy: 'See the evidence, and how the firewall is on the node (firewall-cmd --state, ufw status verbose).',
    evidence: `${stderr}\n${stdout}`.trim().slice(-2000),
  });
}

async function ask(host: Host, argv: Argv, signal?: AbortSignal): Promise<string> {
  const output = await host.run(argv, {
    env: { LC_ALL: 'C' },
    timeoutMs: 60_000,
    ...(signal === undefined ? {} : { signal }),
  });
  if (output.code !== 0) throw failed(argv, output);
  return output.stdout;
}

function parsed(text: string): [from: number, to: number, protocol: string | undefined] {
  const [numbers = '', protocol] = text.split('/');
  const [from = 0, to = from] = numbers.split('-').map(Number);
  return [from, to, protocol];
}

/** Is a port, or a range, within another one? firewalld makes one range of ports that lie side by side. Pure. */
export function covers(range: string, port: string): boolean {
  const [[low, high, protocol], [from, to, wanted]] = [parsed(range), parsed(port)];
  return protocol === wanted && low <= from && to <= high;
}

/** What of a range is in one of the others, in their order. Pure. */
export function partsIn(all: readonly string[], range: string): string[] {
  const [low, high, wanted] = parsed(range);
  return all.flatMap((one) => {
    const [from, to, protocol] = parsed(one);
    const [first, last] = [Math.max(from, low), Math.min(to, high)];
    if (protocol !== wanted || first > last) return [];
    return [`${first === last ? first : `${first}-${last}`}/${protocol}`];
  });
}

/** firewall-cmd(1): what counts now and what counts after a boot or reload are two lists. */
export function firewalld(host: Host): PortFirewall {
  const list = async (zone: string, ...more: string[]): Promise<string[]> =>
    (await ask(host, ['firewall-cmd', ...more, `--zone=${zone}`, '--list-ports'])).trim().split(/\s+/);
  const isIn = (all: readonly string[], port: string): boolean => all.some((one) => covers(one, port));
  return {
    kind: 'firewalld',
    isActive: async () => (await host.run(['firewall-cmd', '--state'], { env: { LC_ALL: 'C' } })).code === 0,
    place: async () => (await ask(host, ['firewall-cmd', '--get-default-zone'])).trim(),
    async look(zone, ports) {
      const [now, kept] = [await list(zone), await list(zone, '--permanent')];
      return new Map(
        ports.map((port): [string, PortState] => {
          const state = { now: isIn(now, port), kept: isIn(kept, port) };
          const [partlyNow, partlyKept] = [now, kept].map((all) => partsIn(all, port).join(' '));
          return [
            port,
            {
              ...state,
              ...(state.now || !partlyNow ? {} : { partlyNow }),
              ...(state.kept || !partlyKept ? {} : { partlyKept }),
            },
          ];
        }),
      );
    },
    async set(zone, port, state, wanted, signal) {
      const change = (verb: string, what: string, ...more: string[]): Promise<string> =>
        ask(host, ['firewall-cmd', ...more, `--zone=${zone}`, `--${verb}-port=${what}`], signal);
      const close = async (partly: string | undefined, ...more: string[]): Promise<void> => {
        await change('remove', port, ...more);
        // What a person had opened of it may have become one with it, and is gone with it.
        const left = await list(zone, ...more);
        for (const part of partly?.split(' ') ?? []) if (!isIn(left, part)) await change('add', part, ...more);
      };
      if (wanted.kept !== state.kept)
        await (wanted.kept ? change('add', port, '--permanent') : close(wanted.partlyKept, '--permanent'));
      if (wanted.now !== state.now) await (wanted.now ? change('add', port) : close(wanted.partlyNow));
    },
  };
}

/** ufw(8): one list, for both IP families. It writes ranges with a colon. */
export function ufw(host: Host): PortFirewall {
  const rule = (port: string): string => port.replace('-', ':');
  return {
    kind: 'ufw',
    async isActive() {
      const { code, stdout } = await host.run(['ufw', 'status'], { env: { LC_ALL: 'C' } });
      return code === 0 && /^Status: active/m.test(stdout);
    },
    place: async () => '',
    async look(_, ports) {
      const rules = (await ask(host, ['ufw', 'show', 'added'])).split('\n').map((line) => line.trim());
      return new Map(
        ports.map((port): [string, PortState] => {
          const said = rules.flatMap((one) => {
            const [, verb = '', of] = /^ufw (allow|deny|reject|limit) (\S+)(?: comment .*)?$/.exec(one) ?? [];
            return of === rule(port) ? [verb] : [];
          });
          const isOpen = said.includes('allow');
          const [verb] = isOpen ? [] : said;
          return [port, { now: isOpen, kept: isOpen, ...(verb === undefined ? {} : { verb }) }];
        }),
      );
    },
    async set(_, port, _state, wanted, signal) {
      const verb = wanted.kept ? 'allow' : wanted.verb;
      await ask(host, ['ufw', ...(verb === undefined ? ['delete', 'allow'] : [verb]), rule(port)], signal);
    },
  };
}

/** The one that is active; undefined: none of them. */
export async function activeFirewall(host: Host): Promise<PortFirewall | undefined> {
  for (const one of [firewalld(host), ufw(host)]) if (await one.isActive()) return one;
  return undefined;
}
