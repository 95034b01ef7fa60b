import { z } from 'zod';
import { defineAction } from './define-action.ts';

/** `6443/tcp`, `30000-32767/tcp`. */
const Port = z
  .string()
  .regex(/^\d{1,5}(?:-\d{1,5})?\/(?:tcp|udp|sctp)$/, 'not a port: 6443/tcp, 30000-32767/tcp')
  .refine((text) => {
    const [from = 0, to = from] = (text.split('/')[0] ?? '').split('-').map(Number);
    return from >= 1 && from <= to && to <= 65535;
  }, 'not a port: 1 to 65535, the lower one first');

/** What guards a node: off, or with ports that it lets through. Judged by what is really active. */
export const firewall = defineAction({
  kind: 'firewall',
  version: 1,
  summary: 'the firewall of the node, switched off; or ports that it lets through (firewalld, ufw)',
  lock: 'firewall',
  input: z
    .strictObject({
      /** off: ufw, firewalld and the nftables service are stopped, and are not started at boot. */
      state: z.literal('off').optional(),
      /** Let through, now and after a boot, by firewalld or ufw where one of them is active. */
      ports: z.array(Port).min(1).max(500).optional(),
      /** firewalld: absent, its default zone. */
      zone: z
        .string()
        .regex(/^[A-Za-z0-9_-]{1,50}$/, 'not the name of a zone')
        .optional(),
    })
    .refine(
      (input) => (input.state === undefined) !== (input.ports === undefined),
      'give exactly one of state and ports',
    )
    .refine((input) => input.zone === undefined || input.ports !== undefined, 'zone belongs to ports'),
  output: z.object({
    /** What was active before: firewalld, ufw, nftables; none. */
    active: z.array(z.string()),
    /** What was done, in words: `firewalld stopped`, `6443/tcp opened in public`. */
    done: z.array(z.string()),
  }),
  shorthand: (value) => (value === 'off' ? { state: value } : Array.isArray(value) ? { ports: value } : undefined),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: { ports: ['6443/tcp', '30000-32767/tcp'] },
});
