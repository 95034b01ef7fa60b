import { packageFailure } from './failures.ts';
import type { Argv, Ask, Change, ChangeOptions, Foreseen, PackageManager } from './manager.ts';
import { rpmDatabase } from './rpm.ts';

/** Red Hat's kind: dnf(8), yum(8) of before. dnf 4 and 5 take the same words here. */
export function dnf(kind: 'dnf' | 'yum', ask: Ask): PackageManager {
  // Otherwise it waits for another one as long as that takes, and says so to nobody.
  const base = [kind, '--setopt=exit_on_lock=True'] as const;

  function transactions({ install, remove }: Change, options: ChangeOptions, answer: string): Argv[] {
    const words = install.map(
      ({ name, version, file }) => file ?? (version === undefined ? name : `${name}-${version}`),
    );
    const isDowngrade = kind === 'yum' && options.allowDowngrade;
    const flags = [
      answer,
      ...(options.cached === true ? ['-C'] : []),
      ...(options.recommends === undefined || kind === 'yum'
        ? []
        : [`--setopt=install_weak_deps=${options.recommends ? 'True' : 'False'}`]),
      // yum 3 knows no versionlock of its own, and dnf keeps it out of everything.
      ...(options.allowHeld ? ['--disableplugin=versionlock'] : []),
    ];
    const erasing = remove.length > 0 && kind === 'dnf' ? ['--allowerasing'] : [];
    return [
      ...(words.length === 0
        ? []
        : [[...base, ...flags, ...erasing, isDowngrade ? 'downgrade' : 'install', ...words] as const]),
      ...(remove.length === 0
        ? []
        : [[...base, ...flags, '--setopt=clean_requirements_on_remove=False', 'remove', ...remove] as const]),
    ];
  }

  return {
    kind,
    environment: () => ({}),
    ...rpmDatabase(ask, async () => {
      const { code, stdout } = await ask([...base, '-q', '-C', 'versionlock', 'list']);
      // Without the plugin nothing is held.
      return code === 0 ? parseLocks(stdout) : new Set();
    }),

    async newest(names, cached) {
      const argv: Argv = [...base, '-q', ...(cached ? ['-C'] : []), 'list', '--showduplicates', ...names];
      const output = await ask(argv);
      const found = parseList(output.stdout);
      if (output.code !== 0 && found.size === 0 && !/No match|No matching/i.test(output.stderr + output.stdout))
        throw packageFailure(argv, output);
      return found;
    },

    async foresee(change, options) {
      const all: Foreseen = { steps: [], downgrades: [] };
      for (const argv of transactions(change, options, '--assumeno')) {
        const output = await ask(argv);
        const found = parseTransaction(output.stdout);
        // An answer of "no" ends with 1, as an error does.
        if (output.code !== 0 && found.steps.length === 0) throw packageFailure(argv, output);
        all.steps.push(...found.steps);
        all.downgrades.push(...found.downgrades);
      }
      return all;
    },

    transaction: (change, options) => transactions(change, options, '-y'),

    // It keeps its own time (metadata_expire), repository by repository.
    askedAtMs: async () => undefined,
    refresh: () => [...base, '-y', 'makecache'],
    setAskedAt: async () => {},
    hold: (names, held) => [...base, 'versionlock', held ? 'add' : 'delete', ...names],
    mark: () => undefined,
  };
}

/** Pure: `kubelet-0:1.28.2-0.*` of dnf 4 and yum, `Package name: kubelet` of dnf 5. */
export function parseLocks(text: string): Set<string> {
  const names = [...text.matchAll(/^(?:(?!#|!)(\S+)-(?:\d+:)[^-\s]+-\S+|Package name: (\S+))$/gm)];
  return new Set(names.flatMap(([, old, recent]) => old ?? recent ?? []));
}

/** Pure: the last of each name in `dnf list`, which is the newest: `nginx.x86_64  1:1.20.1-14.el9  appstream`. */
export function parseList(text: string): Map<string, string> {
  const found = new Map<string, string>();
  // A long name stands on a line of its own.
  for (const [, name = '', version = ''] of text.matchAll(/^(\S+)\.\w+\s+((?:\d+:)?\S+-\S+)\s+@?\S+\s*$/gm))
    found.set(name, version);
  return found;
}

const REMOVES = /^(?:Removing|Erasing)/;

/** Pure: the table of a transaction. A name that is too long for its column stands on a line of its own. */
export function parseTransaction(text: string): Foreseen {
  const steps = new Map<string, string>();
  const downgrades: string[] = [];
  let section = '';
  for (const line of text.replace(/^( \S+)\n\s+/gm, '$1 ').split('\n')) {
    const [, heading] = /^([A-Z][A-Za-z ]*):$/.exec(line) ?? [];
    if (heading !== undefined || line.startsWith('Transaction ')) section = heading ?? '';
    const [, name, version = ''] = /^ (\S+)\s+\S+\s+((?:\d+:)?\S+-\S+)\s+@?\S+\s+[\d.]+/.exec(line) ?? [];
    if (section === '' || name === undefined || name === 'replacing') continue;
    steps.set(name, REMOVES.test(section) ? '' : version);
    if (section.startsWith('Downgrading')) downgrades.push(name);
  }
  return { steps: [...steps].map(([name, version]) => ({ name, version })), downgrades };
}
