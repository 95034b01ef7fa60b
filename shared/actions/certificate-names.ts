import ipaddr from 'ipaddr.js';
import { z } from 'zod';

/** A part of a certificate's subject; X.520 allows 64 characters. */
const Part = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[^\p{C}]+$/u, 'a name has no control characters');

/** Whom a certificate is for: to Kubernetes CN is the user and each O a group of that user. */
export const Subject = z.strictObject({
  CN: Part,
  O: z.union([Part, z.array(Part).max(10)]).optional(),
});
export type Subject = z.infer<typeof Subject>;

const DNS = /^DNS:(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/;

/** A name that a server's certificate holds for (RFC 5280, 4.2.1.6). */
export const San = z
  .string()
  .max(253 + 4)
  .refine((text) => sanOf(text) !== undefined, 'write DNS:name or IP:address');

/** Several of them. */
export const Sans = z.array(San).max(200);

/** An alternative name in its normal form: names in lower case, addresses as short as they go; undefined: it is none. */
export function sanOf(text: string): { type: 'dns' | 'ip'; value: string } | undefined {
  if (DNS.test(text)) return { type: 'dns', value: text.slice(4).toLowerCase() };
  const address = text.startsWith('IP:') ? text.slice(3) : '';
  return ipaddr.IPv4.isValidFourPartDecimal(address) || ipaddr.IPv6.isValid(address)
    ? { type: 'ip', value: ipaddr.parse(address).toString() }
    : undefined;
}

/** The groups of a subject. */
export function groupsOf({ O: groups = [] }: Subject): readonly string[] {
  return typeof groups === 'string' ? [groups] : groups;
}

/** Alternative names in their normal form, sorted and without doubles: two lists mean the same when these are equal. */
export function normalSans(sans: readonly string[]): string[] {
  const texts = sans.map((text) => {
    const san = sanOf(text);
    return san === undefined ? text : `${san.type.toUpperCase()}:${san.value}`;
  });
  return [...new Set(texts)].sort();
}
