import type { Host } from '../host/host.ts';

/** The text of a file; undefined when it is not there. Throws when it cannot be read. */
export async function readText(host: Host, path: string): Promise<string | undefined> {
  return (await host.files.read(path))?.toString('utf8');
}

/** The trimmed text of a file that must be there. */
export async function needText(host: Host, path: string): Promise<string> {
  const text = await readText(host, path);
  if (text === undefined) throw new Error(`${path} is not there`);
  return text.trim();
}

/** A file of /sys: some of them answer with an error instead of a value (the speed of an interface that is down). */
export async function trySysfs(host: Host, path: string): Promise<string | undefined> {
  try {
    return (await readText(host, path))?.trim();
  } catch {
    return undefined;
  }
}

/** The kernel writes blanks and backslashes in paths as octal: `/mnt/my\040disk`. */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
