import { type Command, InvalidArgumentError, Option } from 'commander';

export const FORMATS = ['table', 'json', 'yaml'] as const;
export type Format = (typeof FORMATS)[number];

/** `-o table|json|yaml`. */
export function withOutput(command: Command): Command {
  return command.addOption(new Option('-o, --output <format>', 'how to print').choices([...FORMATS]).default('table'));
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds of `30s`, `10m`, `1h`, `1d`, `1h30m`; a bare number is seconds. */
function duration(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  if (!/^(\d+[smhd])+$/.test(text)) throw new InvalidArgumentError('Write a duration such as 30s, 10m, 1h or 1d.');
  const parts = [...text.matchAll(/(\d+)([smhd])/g)];
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNIT_SECONDS[unit ?? ''] ?? 0), 0);
}

/** An option that takes a duration; `usual` (as a person writes it) is its default. Its value is seconds. */
export function durationOption(
  flags: string,
  about: string,
  usual: string,
  limits?: { least: string; most: string },
): Option {
  const read = (text: string): number => {
    const seconds = duration(text);
    if (limits && (seconds < duration(limits.least) || seconds > duration(limits.most)))
      throw new InvalidArgumentError(`Write a duration from ${limits.least} to ${limits.most}.`);
    return seconds;
  };
  return new Option(flags, about).argParser(read).default(duration(usual), usual);
}

export function wholeNumber(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('Write a whole number, 1 or more.');
  return Number(text);
}

/** Gathers a repeatable option. */
export function each(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), text];
}

/** Gathers a repeatable option that also takes commas. */
export function eachOfList(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), ...text.split(',').filter((item) => item !== '')];
}

/** `host:port`, `[::1]:port`, `:port` or `port`. */
export function listenAddress(text: string): { host: string; port: number } {
  const [, host, port] = /^(?:(.*):)?(\d+)$/.exec(text) ?? [];
  const bare = (host ?? '').replace(/^\[(.*)\]$/, '$1');
  const number = Number(port);
  if (port === undefined || number > 65_535)
    throw new InvalidArgumentError('Write host:port, for example 0.0.0.0:9443.');
  return { host: bare === '' ? '0.0.0.0' : bare, port: number };
}

/** `https://host:port`, gathered; without a port it is 443, and always said: the agents' side has no default. */
export function httpsEndpoint(text: string, before: string[] | undefined): string[] {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'https:' || url.pathname !== '/' || url.search !== '') {
    throw new InvalidArgumentError('Write https://host:port, as the nodes reach this machine.');
  }
  return [...(before ?? []), `https://${url.hostname}:${url.port || '443'}`];
}
