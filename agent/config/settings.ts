/** Everything that can be set from outside, in one table. A flag wins over its variable, that over the default. */
export const SETTINGS = {
  state: {
    flag: '--state <folder>',
    env: 'KK_AGENT_STATE',
    default: '/var/lib/kk-agent',
    about: "the agent's state folder",
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
