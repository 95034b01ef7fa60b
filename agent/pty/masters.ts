/**
 * The masters of this process's terminals. node-pty does not mark them to be closed on exec, and Node cannot: whoever starts a
 * program here must cover them, or the program can read what is shown on every open terminal and type into it.
 */
import { openSync } from 'node:fs';

const masters = new Set<number>();
let nothing: number | undefined;

/** From its opening until it is closed. */
export function keepMaster(fd: number): void {
  masters.add(fd);
}

/** It is closed: the number may be another file's from now on. */
export function dropMaster(fd: number): void {
  masters.delete(fd);
}

/**
 * `stdio` for node:child_process with all masters covered: the child finds /dev/null under their numbers. `ignore` would leave
 * them as they are. To be called right before the program is started.
 */
export function withoutMasters(stdio: 'pipe' | 'ignore'): ('pipe' | 'ignore' | number)[] {
  const covered: ('pipe' | 'ignore' | number)[] = [stdio, stdio, stdio];
  for (const fd of masters) {
    nothing ??= openSync('/dev/null', 'r+');
    while (covered.length <= fd) covered.push('ignore');
    covered[fd] = nothing;
  }
  return covered;
}
