/** What dnf, yum and zypper have in common: the database of rpm, and how its versions are written. */

import { packageFailure, unreadable } from './failures.ts';
import type { Argv, Ask, Installed, PackageManager } from './manager.ts';

const FORMAT = '%{NAME}\\t%{EPOCHNUM}\\t%{VERSION}\\t%{RELEASE}\\n';

/** As the managers print it: without an epoch of 0. */
function evr(epoch: string, version: string, release: string): string {
  return `${epoch === '0' || epoch === '(none)' ? '' : `${epoch}:`}${version}-${release}`;
}

/** Pure: by name, the versions in the order of rpm; `gpg-pubkey` is no package. */
export function parseRpm(text: string, held: ReadonlySet<string> = new Set()): Map<string, Installed> {
  const found = new Map<string, Installed>();
  for (const line of text.split('\n')) {
    const [name = '', epoch = '', version = '', release = ''] = line.split('\t');
    if (release === '' || name === 'gpg-pubkey') continue;
    const one = evr(epoch, version, release);
    const before = found.get(name)?.version;
    const all = before === undefined || before.split(' ').includes(one) ? (before ?? one) : `${before} ${one}`;
    found.set(name, { version: all, held: held.has(name), auto: false });
  }
  return found;
}

/** A person may leave out epoch and release. */
function isVersion(installed: string, wanted: string): boolean {
  return installed.split(' ').some((one) => {
    const spellings = [one, one.replace(/^\d+:/, '')].flatMap((text) => [text, text.replace(/-[^-]*$/, '')]);
    return wanted.endsWith('*')
      ? spellings.some((text) => text.startsWith(wanted.slice(0, -1)))
      : spellings.includes(wanted);
  });
}

/** rpm(8). `held`: names that the manager does not upgrade. */
export function rpmDatabase(
  ask: Ask,
  held: () => Promise<ReadonlySet<string>>,
): Pick<PackageManager, 'database' | 'named' | 'inFile' | 'isVersion' | 'changedConfiguration'> {
  return {
    named: async (names) => [...names],
    // rpm itself keeps it, as <path>.rpmsave.
    changedConfiguration: async () => new Map(),

    async database() {
      const argv: Argv = ['rpm', '-qa', '--qf', FORMAT];
      const output = await ask(argv);
      if (output.code !== 0) throw packageFailure(argv, output);
      return parseRpm(output.stdout, await held());
    },

    async inFile(path) {
      const { code, stdout, stderr } = await ask(['rpm', '-qp', '--qf', FORMAT, path]);
      const [found] = parseRpm(stdout);
      if (code !== 0 || found === undefined) throw unreadable(path, stderr);
      const [name, { version }] = found;
      return { name, version };
    },

    isVersion,
  };
}
