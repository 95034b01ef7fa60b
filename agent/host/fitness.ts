import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Status, WrapperSpec } from './command-folder.ts';

/** Looks as execvp(3) would, so that "no such program" is told from a program that itself exits with 127. */
export function whyUnfit({ program, env, cwd }: Pick<WrapperSpec, 'program' | 'env' | 'cwd'>): Status['error'] {
  if (statSync(cwd, { throwIfNoEntry: false })?.isDirectory() !== true) {
    return { code: 'no-folder', message: cwd };
  }
  const places = program.includes('/') ? [''] : (env.PATH ?? '').split(':');
  let found = false;
  for (const place of places) {
    const path = place === '' ? (program.startsWith('/') ? program : join(cwd, program)) : join(place, program);
    if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) continue;
    found = true;
    try {
      accessSync(path, constants.X_OK);
      return undefined;
    } catch {
      // An executable one may be further down the path.
    }
  }
  return { code: found ? 'not-executable' : 'not-found', message: program };
}
