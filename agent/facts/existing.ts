import { dirname } from 'node:path';
import type { Host } from '../host/host.ts';

/** Does the path lead to a directory, links followed? */
export async function isDirectory(host: Host, path: string): Promise<boolean> {
  return (await host.files.stat(`${path}/.`))?.kind === 'directory';
}

/** The path itself or the nearest directory above it that is there: the path will be made on that one's file system. */
export async function nearestDirectory(host: Host, path: string): Promise<string> {
  let here = path;
  while (here !== '/' && !(await isDirectory(host, here))) here = dirname(here);
  return here;
}

/** The directories that must be made to have `path`, outermost first. */
export async function absentDirectories(host: Host, path: string): Promise<string[]> {
  const absent: string[] = [];
  for (let here = path; here !== '/' && !(await isDirectory(host, here)); here = dirname(here)) absent.unshift(here);
  return absent;
}
