import { packageFailure } from './failures.ts';
import type { Argv, Ask, Change, ChangeOptions, Foreseen, PackageManager } from './manager.ts';
import { rpmDatabase } from './rpm.ts';

const ZYPPER = ['zypper', '--non-interactive', '--xmlout'] as const;

/** SUSE's kind: zypper(8), by its XML. */
export function zypper(ask: Ask): PackageManager {
  function transactions({ install, remove }: Change, options: ChangeOptions, first: readonly string[]): Argv[] {
    const words = install.map(
      ({ name, version, file }) => file ?? (version === undefined ? name : `${name}=${version}`),
    );
    const global = options.cached === true ? [...ZYPPER, '--no-refresh'] : [...ZYPPER];
    const [program, ...rest] = global as [string, ...string[]];
    if (words.length === 0) return [[program, ...rest, 'remove', ...first, '--no-clean-deps', ...remove]];
    return [
      [
        program,
        ...rest,
        'install',
        ...first,
        '--auto-agree-with-licenses',
        ...(options.recommends === undefined ? [] : [options.recommends ? '--recommends' : '--no-recommends']),
        ...(options.allowDowngrade ? ['--oldpackage'] : []),
        ...words,
        ...remove.map((name) => `!${name}`),
      ],
    ];
  }

  return {
    kind: 'zypper',
    environment: () => ({}),
    ...rpmDatabase(ask, async () => {
      const { stdout } = await ask([...ZYPPER, 'locks']);
      return new Set([...stdout.matchAll(/<lock [^>]*><name>([^<]+)<\/name>/g)].map(([, name = '']) => name));
    }),

    async newest(names, cached) {
      const argv: Argv = [
        ...ZYPPER,
        ...(cached ? ['--no-refresh'] : []),
        'search',
        '--match-exact',
        '--details',
        '--type',
        'package',
        ...names,
      ];
      const output = await ask(argv);
      // 104: none of them is known.
      if (output.code !== 0 && output.code !== 104) throw packageFailure(argv, output);
      return parseSearch(output.stdout);
    },

    async foresee(change, options) {
      const [argv] = transactions(change, options, ['--dry-run']);
      if (argv === undefined) return { steps: [], downgrades: [] };
      const output = await ask(argv);
      if (output.code !== 0) throw packageFailure(argv, output);
      const found = parseSummary(output.stdout);
      const refused = [...output.stdout.matchAll(/package &apos;(\S+?)-[^-]+-[^-]+&apos; from .* has lower version/g)];
      return { ...found, downgrades: [...found.downgrades, ...refused.map(([, name = '']) => name)] };
    },

    transaction: (change, options) => transactions(change, options, []),
    // It keeps its own time (repo.refresh.delay).
    askedAtMs: async () => undefined,
    refresh: () => [...ZYPPER, 'refresh'],
    setAskedAt: async () => {},
    hold: (names, held) => [...ZYPPER, held ? 'addlock' : 'removelock', ...names],
    mark: () => undefined,
  };
}

function attributes(text: string): Map<string, string> {
  return new Map([...text.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]));
}

/** Pure: the newest of each name, which comes first. */
export function parseSearch(xml: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, solvable = ''] of xml.matchAll(/<solvable ([^>]*)>/g)) {
    const { name, edition } = Object.fromEntries(attributes(solvable));
    if (name !== undefined && edition !== undefined && !found.has(name)) found.set(name, edition);
  }
  return found;
}

/** Pure: the `install-summary`. */
export function parseSummary(xml: string): Foreseen {
  const steps = new Map<string, string>();
  const downgrades: string[] = [];
  for (const [, section = '', inside = ''] of xml.matchAll(/<(to-[\w-]+)>([\s\S]*?)<\/\1>/g)) {
    for (const [, solvable = ''] of inside.matchAll(/<solvable ([^>]*)>/g)) {
      const { type, name, edition = '' } = Object.fromEntries(attributes(solvable));
      if (type !== 'package' || name === undefined) continue;
      steps.set(name, section === 'to-remove' ? '' : edition);
      if (section.startsWith('to-downgrade')) downgrades.push(name);
    }
  }
  return { steps: [...steps].map(([name, version]) => ({ name, version })), downgrades };
}
