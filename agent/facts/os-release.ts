import type { Facts } from '../../shared/facts.ts';
import type { Host } from '../host/host.ts';
import { readText } from './text.ts';

/** os-release(5): /etc wins over /usr/lib. */
export async function gatherOs(host: Host): Promise<Facts['os']> {
  const text = (await readText(host, '/etc/os-release')) ?? (await readText(host, '/usr/lib/os-release'));
  if (text === undefined) throw new Error('there is no os-release file');
  const fields = parseOsRelease(text);
  return {
    // A file without ID means `linux`, says os-release(5).
    id: (fields.get('ID') ?? 'linux').toLowerCase(),
    id_like: (fields.get('ID_LIKE') ?? '').toLowerCase().split(/\s+/).filter(Boolean),
    version: fields.get('VERSION_ID') ?? '',
    name: fields.get('PRETTY_NAME') ?? fields.get('NAME') ?? '',
  };
}

/** Assignments as a shell reads them: bare, in single or in double quotes (there a backslash protects the next character). */
export function parseOsRelease(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const found = /^\s*([A-Z0-9_]+)=(.*?)\s*$/.exec(line);
    if (found?.[1] !== undefined) fields.set(found[1], unquote(found[2] ?? ''));
  }
  return fields;
}

function unquote(value: string): string {
  const quote = value[0];
  if (value.length >= 2 && quote === "'" && value.endsWith("'")) return value.slice(1, -1);
  const inner = value.length >= 2 && quote === '"' && value.endsWith('"') ? value.slice(1, -1) : value;
  return inner.replace(/\\(.)/g, '$1');
}
