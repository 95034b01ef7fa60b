import { readdir, readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..', '..');
const ROOMS = ['shared', 'controller', 'agent'];

/**
 * Words in capitals that are no codes of ours: of the wire, the environment, os-release, the YAML parser, the store.
 * (ENOENT and the like are the system's.)
 */
const OTHERS =
  /^(?:OUTCOME|STREAM|PURPOSE|KK|NO_COLOR|ID_LIKE|VERSION_ID|PRETTY_NAME|QUOTE|BLOCK_|TAB_AS_INDENT|MULTIPLE_DOCS|RESOURCE_EXHAUSTION|(?:CONFLICT|FAILED)$)/;

/** In TypeScript a code is a literal of several words, or a `code:` of one; in the shell scripts what `kk_fail` is given. */
const CODES: Readonly<Record<string, RegExp>> = {
  ts: /'([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)'|\bcode: '([A-Z]{2,})'|^ {2}([A-Z]+(?:_[A-Z]+)*):$/gm,
  sh: /\bkk_fail ([A-Z][A-Z_]+)/g,
};

/** code -> files that say it, both in alphabetical order. */
export async function errorCodes(): Promise<Map<string, string[]>> {
  const found = new Map<string, Set<string>>();
  for (const room of ROOMS) {
    const entries = await readdir(join(ROOT, room), { recursive: true });
    for (const path of entries.map((entry) => `${room}/${entry}`)) {
      const pattern = CODES[path.slice(path.lastIndexOf('.') + 1)];
      if (pattern === undefined) continue;
      for (const [, many, one, key] of (await readFile(join(ROOT, path), 'utf8')).matchAll(pattern)) {
        const code = many ?? one ?? key ?? '';
        if (!OTHERS.test(code) && !(code in constants.errno)) found.set(code, (found.get(code) ?? new Set()).add(path));
      }
    }
  }
  return new Map([...found].sort().map(([code, files]) => [code, [...files].sort()]));
}

/** A page to find a code on: every error says itself what to do, here is which room it comes from. */
export async function errorsPage(): Promise<string> {
  const rows = [...(await errorCodes())].map(([code, files]) => {
    const rooms = new Set(files.map((file) => file.split('/').slice(0, -1).slice(0, 2).join('/')));
    return `| \`${code}\` | ${[...rooms].map((room) => `[${room}](../../${room})`).join(', ')} |`;
  });
  return `# Error codes

Every error that kk tells carries what was seen and what to do about it; programs switch on the code. This page, made by
\`npm run generate\`, says which room each of the ${rows.length} codes comes from; search for the code there to know exactly when.

| code | from |
|---|---|
${rows.join('\n')}
`;
}
