/** Where repositories stand, and how they are written, manager by manager. Pure. */
import type { ActionInput } from '../../../shared/actions/index.ts';
import type { Argv, PackageManager } from './manager.ts';

type Input = ActionInput<'repository'>;

interface Dialect {
  file(name: string): string;
  key(name: string, armored: boolean): string;
  /** `key`: the path of its key. */
  text(input: Input, key: string | undefined): string;
  /** Asks this one what it has, whatever the others say. */
  refresh(name: string, file: string): Argv;
}

const yes = (value: boolean): string => (value ? 'yes' : 'no');
const one = (value: boolean): string => (value ? '1' : '0');

/** A field of several values, when there are any. */
function field(name: string, values: readonly string[] | undefined): string[] {
  return values === undefined || values.length === 0 ? [] : [`${name}: ${values.join(' ')}`];
}

const apt: Dialect = {
  file: (name) => `/etc/apt/sources.list.d/${name}.sources`,
  // apt tells them apart by this alone.
  key: (name, armored) => `/etc/apt/keyrings/kk-${name}.${armored ? 'asc' : 'gpg'}`,
  text: ({ uris, suites, components, architectures, enabled, trusted, options = {} }, key) =>
    [
      'Types: deb',
      ...field('URIs', uris),
      ...field('Suites', suites ?? ['/']),
      ...field('Components', components),
      ...field('Architectures', architectures),
      ...field('Signed-By', key === undefined ? undefined : [key]),
      ...(trusted ? ['Trusted: yes'] : []),
      ...(enabled ? [] : ['Enabled: no']),
      ...Object.entries(options).map(([name, value]) => `${name}: ${typeof value === 'boolean' ? yes(value) : value}`),
      '',
    ].join('\n'),
  refresh: (_, file) => [
    ...(['apt-get', '-q', '-o', `Dir::Etc::sourcelist=${file}`, '-o', 'Dir::Etc::sourceparts=-'] as const),
    ...['-o', 'APT::Get::List-Cleanup=0', '-o', 'APT::Update::Error-Mode=any', 'update'],
  ],
};

function ini(
  { name, uris = [], enabled, trusted, options = {} }: Input,
  key: string | undefined,
  more: string[],
): string {
  return [
    `[${name}]`,
    `name=${name}`,
    `baseurl=${uris.join('\n        ')}`,
    `enabled=${one(enabled)}`,
    `gpgcheck=${one(!trusted)}`,
    ...(key === undefined ? [] : [`gpgkey=file://${key}`]),
    ...more,
    ...Object.entries(options).map(([name, value]) => `${name}=${typeof value === 'boolean' ? one(value) : value}`),
    '',
  ].join('\n');
}

function redHat(kind: 'dnf' | 'yum'): Dialect {
  return {
    file: (name) => `/etc/yum.repos.d/${name}.repo`,
    key: (name) => `/etc/pki/rpm-gpg/kk-${name}`,
    text: (input, key) => ini(input, key, []),
    refresh: (name) => [
      kind,
      '-y',
      '--setopt=exit_on_lock=True',
      '--disablerepo=*',
      `--enablerepo=${name}`,
      'makecache',
    ],
  };
}

export const DIALECTS: Readonly<Record<PackageManager['kind'], Dialect>> = {
  apt,
  dnf: redHat('dnf'),
  yum: redHat('yum'),
  zypper: {
    file: (name) => `/etc/zypp/repos.d/${name}.repo`,
    key: (name) => `/etc/pki/rpm-gpg/kk-${name}`,
    text: (input, key) => ini(input, key, ['autorefresh=1']),
    // It takes no key from a file by itself; which one it may be has been checked by then.
    refresh: (name) => ['zypper', '--non-interactive', '--gpg-auto-import-keys', 'refresh', name],
  },
};

/** What apt writes as %xx in the name of a list, besides what is no printable character (URItoFileName). */
const QUOTED = /[\\|{}[\]<>"^~_=!@#$%&*\s]/g;

/** How the names of the lists begin that apt keeps of a repository. */
export function aptLists({ uris = [], suites = ['/'] }: Pick<Input, 'uris' | 'suites'>): string[] {
  const quoted = (text: string): string =>
    text.replace(QUOTED, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`).replaceAll('/', '_');
  return uris.flatMap((uri) => {
    const bare = uri.replace(/^[a-z+]+:(?:\/\/)?/, '').replace(/\/*$/, '/');
    return suites.map((suite) =>
      suite.endsWith('/') ? quoted(`${bare}${suite === '/' ? '' : suite}`) : quoted(`${bare}dists/${suite}/`),
    );
  });
}

/** The addresses and suites of a file in deb822. */
export function readSources(text: string): { uris: string[]; suites: string[] } {
  const values = (name: string): string[] =>
    [...text.matchAll(new RegExp(`^${name}: *(.*)$`, 'gim'))].flatMap(([, line = '']) =>
      line.split(/\s+/).filter(Boolean),
    );
  return { uris: values('URIs'), suites: values('Suites') };
}
