import { readFile } from 'node:fs/promises';

/** The kernel's id of this boot: a new one means that every process and every tmpfs of before is gone. */
export async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}
