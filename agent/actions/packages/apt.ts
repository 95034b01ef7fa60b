import { createHash } from 'node:crypto';
import type { Host } from '../../host/host.ts';
import { packageFailure, unreadable } from './failures.ts';
import type { Argv, Ask, Change, ChangeOptions, Foreseen, Installed, PackageManager } from './manager.ts';

const FIELDS = ['Package', 'Architecture', 'db:Status-Want', 'db:Status-Status', 'Version'];
const FORMAT = `-f=${FIELDS.map((field) => `\${${field}}`).join('\\t')}\\n`;

const CONFFILES = `-f=\${binary:Package}\\n\${Conffiles}\\n`;

/** What dpkg does about configuration files that were changed on the node, and ucf for those it keeps for packages. */
const CONFIG_FILES = {
  keep: { dpkg: ['--force-confdef', '--force-confold'], ucf: 'UCF_FORCE_CONFFOLD' },
  replace: { dpkg: ['--force-confnew'], ucf: 'UCF_FORCE_CONFFNEW' },
} as const;

/** Where a package that nobody asked for may be kept from being started, upgraded or asked about. */
const QUIET = {
  DEBIAN_FRONTEND: 'noninteractive',
  APT_LISTCHANGES_FRONTEND: 'none',
  APT_LISTBUGS_FRONTEND: 'none',
  // It would restart services that use a library which was replaced.
  NEEDRESTART_SUSPEND: '1',
};

/** Debian, Ubuntu and their kind: dpkg-query(1), apt-get(8), apt-mark(8). `root`: what /var is below. */
export function apt({ files }: Pick<Host, 'files'>, ask: Ask, root: string): PackageManager {
  // It changes with every time the repositories are asked, also where nothing is new.
  const partial = `${root}/var/lib/apt/lists/partial`;

  async function native(): Promise<string> {
    return (await asked(['dpkg', '--print-architecture'])).trim();
  }

  async function asked(argv: Argv): Promise<string> {
    const output = await ask(argv);
    if (output.code !== 0) throw packageFailure(argv, output);
    return output.stdout;
  }

  async function policy(names: readonly string[]): Promise<Map<string, string>> {
    return parsePolicy(await asked(['apt-cache', 'policy', ...names]));
  }

  return {
    kind: 'apt',

    environment: ({ configFiles }) => ({ ...QUIET, [CONFIG_FILES[configFiles].ucf]: '1' }),

    async database() {
      const auto = new Set(lines(await asked(['apt-mark', 'showauto'])));
      return parseDatabase(await asked(['dpkg-query', '-W', FORMAT]), await native(), auto);
    },

    async named(names) {
      if (!names.some((name) => name.includes(':'))) return [...names];
      const own = await native();
      return [...new Set(names.map((name) => bareName(name, own)))];
    },

    async changedConfiguration(names) {
      const found = new Map<string, string[]>();
      if (names.length === 0) return found;
      const own = await native();
      for (const { name, path, md5 } of parseConffiles(await asked(['dpkg-query', '-W', CONFFILES, ...names]))) {
        const content = await files.read(root + path);
        if (content === undefined || createHash('md5').update(content).digest('hex') === md5) continue;
        const bare = bareName(name, own);
        found.set(bare, [...(found.get(bare) ?? []), path]);
      }
      return found;
    },

    async inFile(path) {
      const argv: Argv = ['dpkg-deb', '-f', path, 'Package', 'Version'];
      const output = await ask(argv);
      const [, name] = /^Package: (\S+)$/m.exec(output.stdout) ?? [];
      const [, version] = /^Version: (\S+)$/m.exec(output.stdout) ?? [];
      if (output.code === 0 && name !== undefined && version !== undefined) return { name, version };
      throw unreadable(path, output.stderr);
    },

    newest: (names) => policy(names),

    isVersion: (installed, wanted) =>
      wanted.endsWith('*') ? installed.startsWith(wanted.slice(0, -1)) : installed === wanted,

    async foresee(change, options) {
      const [argv] = transaction(change, options, ['--simulate']);
      const output = await ask(argv, { env: { ...QUIET } });
      const lowered = lowering(output.stdout);
      // It says so, and then only that it would rather not: the caller tells which.
      if (output.code !== 0 && lowered.length === 0) throw packageFailure(argv, output);
      return parseSimulation(output.stdout, lowered);
    },

    transaction: (change, options) => transaction(change, options, []),

    async askedAtMs() {
      const lists = (await files.list(`${root}/var/lib/apt/lists`)).some((name) =>
        /_(?:In)?Release$|_Packages/.test(name),
      );
      const stat = await files.stat(partial);
      return lists ? stat?.mtimeMs : undefined;
    },

    refresh: () => ['apt-get', '-q', 'update'],
    setAskedAt: async (ms) => {
      await ask(['touch', '--no-create', `--date=@${Math.floor(ms / 1000)}`, partial]);
    },
    hold: (names, held) => ['apt-mark', held ? 'hold' : 'unhold', ...names],
    mark: (names, auto) => ['apt-mark', auto ? 'auto' : 'manual', ...names],
  };
}

function transaction({ install, remove }: Change, options: ChangeOptions, first: readonly string[]): [Argv] {
  const removeOnly = install.length === 0;
  const words = install.map(({ name, version, file }) => file ?? (version === undefined ? name : `${name}=${version}`));
  return [
    [
      'apt-get',
      '-q',
      '-y',
      ...first,
      '-o',
      'Dpkg::Use-Pty=0',
      ...CONFIG_FILES[options.configFiles].dpkg.flatMap((word) => ['-o', `Dpkg::Options::=${word}`]),
      ...(options.recommends === undefined ? [] : ['-o', `APT::Install-Recommends=${options.recommends}`]),
      ...(options.allowDowngrade ? ['--allow-downgrades'] : []),
      ...(options.allowHeld ? ['--allow-change-held-packages'] : []),
      ...(removeOnly
        ? [options.purge ? 'purge' : 'remove', ...remove]
        : // Without --purge: it would be for all that goes, also for what apt itself removes.
          ['install', ...words, ...remove.map((name) => `${name}-`)]),
    ],
  ];
}

/** The architecture goes without saying where it is the machine's own. */
function bareName(name: string, native: string): string {
  const [bare = '', arch] = name.split(':');
  return arch === native || arch === 'all' ? bare : name;
}

function lines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

/** Pure: the lines of dpkg-query. */
export function parseDatabase(text: string, native: string, auto: ReadonlySet<string>): Map<string, Installed> {
  const found = new Map<string, Installed>();
  for (const line of lines(text)) {
    const [bare = '', arch = '', want = '', status = '', version = ''] = line.split('\t');
    const name = arch === '' ? bare : bareName(`${bare}:${arch}`, native);
    if (status === 'not-installed' || version === '') continue;
    // One whose triggers are still to run works.
    const isWhole = status === 'installed' || status.startsWith('triggers-');
    found.set(name, {
      version,
      held: want === 'hold',
      auto: auto.has(name),
      ...(isWhole ? {} : { rest: status === 'config-files' ? 'configuration' : 'unfinished' }),
    });
  }
  return found;
}

/** Pure: names, each with lines below it of ` path md5` as the package brought it; of an obsolete one a word besides. */
export function parseConffiles(text: string): { name: string; path: string; md5: string }[] {
  const found = [];
  let name = '';
  for (const line of text.split('\n')) {
    const [, path, md5] = /^ (\/.*) ([0-9a-f]{32})(?: [a-z -]+)?$/.exec(line) ?? [];
    if (path !== undefined && md5 !== undefined) found.push({ name, path, md5 });
    else if (line !== '') name = line;
  }
  return found;
}

/** Pure: the candidates of `apt-cache policy`. A virtual package has none. */
export function parsePolicy(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, name = '', candidate = ''] of text.matchAll(/^(\S+):\n {2}Installed: .*\n {2}Candidate: (\S+)$/gm)) {
    if (candidate !== '(none)') found.set(name, candidate);
  }
  return found;
}

/** Names below "The following packages will be DOWNGRADED:". */
function lowering(text: string): string[] {
  const [, names = ''] = /will be DOWNGRADED:?\n((?: .*\n)+)/.exec(text) ?? [];
  return names.split(/\s+/).filter((name) => name !== '');
}

/** Pure: `Inst name [old] (new origin [arch])`, `Remv name [old]`, `Purg name [old]`. */
export function parseSimulation(text: string, downgrades: string[]): Foreseen {
  const steps = new Map<string, string>();
  for (const [, verb, name = '', version = ''] of text.matchAll(
    /^(Inst|Remv|Purg) (\S+)(?: \[[^\]]*\])?(?: \((\S+))?/gm,
  )) {
    steps.set(name, verb === 'Inst' ? version : '');
  }
  return { steps: [...steps].map(([name, version]) => ({ name, version })), downgrades };
}
