import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { AbsolutePath, Account, AccountName, given } from './fields.ts';

/** What stands between the colons of passwd(5). */
const Field = z
  .string()
  .max(500)
  .regex(/^[^:\r\n\0]*$/, 'it holds no colon and no line break');

const Shell = AbsolutePath.regex(/^[^:\r\n]*$/, 'it holds no colon and no line break');

const Key = z
  .string()
  .max(16_384)
  .regex(/^[^#\s][^\r\n]*$/, 'a key is one line of authorized_keys, such as "ssh-ed25519 AAAA… name"');

/** An account of the machine's own files (passwd(5), shadow(5)); those of a directory service are left alone. */
export const user = defineAction({
  kind: 'user',
  version: 1,
  summary: 'an account with its groups and keys; or none',
  input: z
    .strictObject({
      name: AccountName,
      uid: z.int().min(0).max(4_294_967_294).optional(),
      /** Its primary group, which must be there; unstated: a new account gets one of its own name. */
      group: Account.optional(),
      /** Other groups it is in. */
      groups: z.array(AccountName).max(1000).optional(),
      /** false: it is in no others. */
      append: z.boolean().default(true),
      comment: Field.optional(),
      /** Not moved when it is another: name the new place, and see to what is in it yourself. */
      home: Shell.optional(),
      /** Make the home of a new account, from /etc/skel. Unstated: unless it is a system account. */
      create_home: z.boolean().optional(),
      shell: Shell.optional(),
      /** A new one gets a number below those of people, and no age of its password. */
      system: z.boolean().default(false),
      /** A hash as in /etc/shadow (`openssl passwd -6`), never the password; `!` locks it. Shown nowhere. */
      password: z
        .string()
        .max(500)
        .regex(/^(?:[!*]{1,2}|!?\$[^:\s]+)$/, 'not a hash as in /etc/shadow; make one with: openssl passwd -6')
        .optional(),
      /** Who may log in by SSH, in ~/.ssh/authorized_keys. */
      authorized_keys: z.array(Key).max(1000).optional(),
      /** Other keys than these are taken out. */
      keys_exact: z.boolean().default(false),
      state: z.enum(['present', 'absent']).default('present'),
      /** With state: absent, its home goes with it. */
      remove_home: z.boolean().default(false),
    })
    .refine((input) => {
      const { name: _name, state: _state, remove_home: _home, append, keys_exact, system, ...rest } = input;
      return (
        input.state === 'present' || (append && !keys_exact && !system && given(rest, Object.keys(rest)).length === 0)
      );
    }, 'state: absent takes only name and remove_home')
    .refine((input) => input.state === 'absent' || !input.remove_home, 'remove_home belongs to state: absent')
    .refine((input) => input.append || input.groups !== undefined, 'append: false needs groups')
    .refine((input) => !input.keys_exact || input.authorized_keys !== undefined, 'keys_exact needs authorized_keys'),
  output: z.object({
    name: z.string(),
    uid: z.int().optional(),
    gid: z.int().optional(),
    home: z.string().optional(),
  }),
  shorthand: (value) => (typeof value === 'string' ? { name: value } : undefined),
  changes: true,
  repeatable: true,
  undo: 'restores',
  example: { name: 'ops', groups: ['adm'], shell: '/bin/bash', authorized_keys: ['ssh-ed25519 AAAAC3Nza… ops@desk'] },
});
