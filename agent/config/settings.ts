import { KkError } from '../../shared/errors.ts';

/** Everything that can be set from outside, in one table. A flag wins over its variable, that over the default. */
export const SETTINGS = {
  state: {
    flag: '--state <folder>',
    env: 'KK_AGENT_STATE',
    default: '/var/lib/kk-agent',
    about: "the agent's state folder",
  },
  cache: {
    flag: '--cache <size>',
    env: 'KK_AGENT_CACHE',
    default: '10G',
    about: 'room for files that plans bring and downloads: bytes, or with K, M, G',
  },
  bandwidth: {
    flag: '--bandwidth <rate>',
    env: 'KK_AGENT_BANDWIDTH',
    default: '',
    about: 'at most so many bytes a second when files are brought: bytes, or with K, M, G; empty: no limit',
  },
  standby: {
    flag: '--standby <on|off>',
    env: 'KK_AGENT_STANDBY',
    default: 'on',
    about: 'keep a process ready, so that the next command of a plan begins at once',
  },
  logLevel: { flag: '--log-level <level>', env: 'KK_AGENT_LOG', default: 'info', about: 'debug, info, warn or error' },
} as const;

export type SettingName = keyof typeof SETTINGS;

/** The value of a setting without its flag. The only place of the agent that reads the environment. */
export function fallback(name: SettingName): string {
  const { env, default: standard } = SETTINGS[name];
  const value = process.env[env];
  return value === undefined || value === '' ? standard : value;
}

/** The proxy variables that all programs know, in either spelling. */
export function proxyEnvironment(): Partial<Record<'HTTP_PROXY' | 'HTTPS_PROXY' | 'NO_PROXY', string>> {
  const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'] as const;
  const values = names.map((name) => [name, process.env[name.toLowerCase()] || process.env[name]] as const);
  return Object.fromEntries(values.filter(([, value]) => value !== undefined && value !== ''));
}

/** What `cache` is by default, in bytes. */
export const DEFAULT_CACHE_BYTES = 10 * 1024 ** 3;

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** `500M` as bytes; empty: undefined. Throws KkError SETTING_INVALID. */
export function bytesOf(name: 'cache' | 'bandwidth', text: string): number | undefined {
  if (text === '') return undefined;
  const [, number = '', unit = ''] = /^(\d{1,12})([KMG]?)$/.exec(text) ?? [];
  const bytes = Number(number || Number.NaN) * (UNITS[unit] ?? Number.NaN);
  if (bytes > 0) return bytes;
  const { flag, env } = SETTINGS[name];
  throw new KkError({
    code: 'SETTING_INVALID',
    message: `${flag.split(' ')[0]} (${env}) is ${JSON.stringify(text)}, which is no number of bytes above 0.`,
    remedy: 'Write a number of bytes, or one with K, M or G behind it, such as 500M.',
  });
}
