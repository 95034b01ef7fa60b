import { z } from 'zod';

/** A path on the node. */
export const AbsolutePath = z
  .string()
  .max(4096)
  .regex(/^\/[^\0]*$/, 'a path on the node is absolute: it starts with /')
  .refine((path) => !path.split('/').includes('..'), 'a path on the node may not hold ".."');

/** A path as the kernel tells it. */
export const NormalPath = AbsolutePath.refine(
  (path) =>
    path === '/' ||
    path
      .slice(1)
      .split('/')
      .every((part) => part !== '' && part !== '.'),
  'write the path without "//", "/." and a slash at its end, as the kernel tells it',
);

/** A user or group: its name, or its number. */
export const Account = z.union([
  z.string().regex(/^[A-Za-z_][A-Za-z0-9_.-]*\$?$|^\d+$/, 'not the name of a user or group'),
  z.int().min(0),
]);
export type Account = z.infer<typeof Account>;

/** The name of an account that is made; useradd(8) takes no more. */
export const AccountName = z
  .string()
  .regex(
    /^[A-Za-z_][A-Za-z0-9_.-]{0,30}\$?$/,
    'not the name of a user or group: letters, digits, _ . and -, at most 32',
  );

/** What becomes a word of a command line or an environment variable: templates may yield numbers. */
export const Word = z.union([z.string(), z.number(), z.boolean()]);

/** Says how many of `names` are set, for inputs of which exactly or at most one may be given. */
export function given(input: Record<string, unknown>, names: readonly string[]): string[] {
  return names.filter((name) => input[name] !== undefined);
}

/** What a plan calls something that the controller keeps: a CA, a secret, a cluster. */
export const Handle = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9_.-]{0,61}[a-z0-9])?$/, 'a name is of lower-case letters, digits, _ . and -, at most 63');

/** The name of a component, as in components.yaml. */
export const ComponentName = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'not the name of a component, such as kubelet');
