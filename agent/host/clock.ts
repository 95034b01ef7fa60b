import { readFileSync } from 'node:fs';

/** CLOCK_BOOTTIME in milliseconds (the kernel's resolution in /proc/uptime is 10 ms). */
export function bootTimeMs(): number {
  return Math.round(Number.parseFloat(readFileSync('/proc/uptime', 'utf8')) * 1000);
}
