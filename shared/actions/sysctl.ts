import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { AbsolutePath, given } from './fields.ts';

/**
 * The path of a key below /proc/sys. The first separator decides (sysctl.d(5)): after a slash the rest is a path as it is;
 * after a dot, dots and slashes change places, so that net.ipv4.conf.eth0/100.forwarding is of the interface eth0.100.
 * undefined: not a key.
 */
export function sysctlPath(key: string): string | undefined {
  const swap = /[./]/.exec(key)?.[0] === '.';
  const path = swap ? key.replace(/[./]/g, (separator) => (separator === '.' ? '/' : '.')) : key;
  const parts = path.split('/');
  return parts.length > 1 && parts.every((part) => !['', '.', '..'].includes(part)) ? path : undefined;
}

/** The key of a path as people write it: with dots, unless a part has one of its own. */
export function sysctlName(path: string): string {
  return path.includes('.') ? path : path.replaceAll('/', '.');
}

/** A value as it is compared: the kernel separates its numbers by tabs, people by blanks. */
export function sysctlValue(value: string | number): string {
  return String(value).trim().split(/\s+/).join(' ');
}

const Key = z
  .string()
  .max(500)
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_.:@+/-]*$/, 'not the key of a sysctl')
  .refine((key) => sysctlPath(key) !== undefined, 'not the key of a sysctl, such as net.ipv4.ip_forward');

const Value = z.union([
  z
    .string()
    .max(4000)
    .regex(/^[^\r\n\0]*\S[^\r\n\0]*$/, 'a value is one line, and not empty'),
  z.int(),
]);

interface Named {
  name?: string | undefined;
  value?: string | number | undefined;
  values?: Record<string, string | number> | undefined;
}

/** The keys of the inputs by their path, with the wanted value as it is compared ('' where none is stated). */
export function sysctlSettings({ name, value = '', values }: Named): Map<string, string> {
  const stated = Object.entries(values ?? (name === undefined ? {} : { [name]: value }));
  return new Map(stated.map(([key, one]) => [sysctlPath(key) ?? key, sysctlValue(one)]));
}

/** Parameters of the kernel, now and at every boot (sysctl.d(5), https://docs.kernel.org/admin-guide/sysctl/). */
export const sysctl = defineAction({
  kind: 'sysctl',
  version: 1,
  summary: 'parameters of the kernel, in /proc/sys and for the next boot',
  input: z
    .strictObject({
      /** With dots or slashes: net.ipv4.ip_forward, net/ipv4/conf/eth0.100/rp_filter. */
      name: Key.optional(),
      value: Value.optional(),
      /** Several at once, instead of name and value. */
      values: z.record(Key, Value).optional(),
      /** Where they are kept for the next boot; other lines of it are left alone. */
      file: AbsolutePath.default('/etc/sysctl.d/99-kk.conf'),
      /** Write the file. */
      persist: z.boolean().default(true),
      /** Set the running kernel. */
      reload: z.boolean().default(true),
      /**
       * A key that the kernel does not have, or lets nobody set here (a container), is only written to the file, marked such that
       * the boot does not fail for it.
       */
      ignore_missing: z.boolean().default(false),
      /** absent: taken out of the file. The running kernel knows no "unset", and keeps its value. */
      state: z.enum(['present', 'absent']).default('present'),
    })
    .refine((input) => given(input, ['name', 'values']).length === 1, 'give exactly one of name and values')
    .refine(
      (input) => (input.value !== undefined) === (input.name !== undefined && input.state === 'present'),
      'value belongs to name, with state: present',
    )
    .refine(
      ({ values }) => values === undefined || sysctlSettings({ values }).size === Object.keys(values).length,
      'a key is there twice, once with dots and once with slashes',
    )
    .refine((input) => input.persist || (input.reload && input.state === 'present'), 'nothing would be done'),
  output: z.object({
    /** What the running kernel has, by key; none where only the file is seen to. */
    values: z.record(z.string(), z.string()),
    /** Keys that the kernel does not have, or lets nobody set. */
    missing: z.array(z.string()),
  }),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: { values: { 'net.ipv4.ip_forward': 1, 'net.ipv4.ip_local_reserved_ports': '30000-32767' } },
});
