import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { AbsolutePath, Account, ComponentName, given } from './fields.ts';
import { Mode } from './mode.ts';

/** A file of the plan's, or `files/` of the role's: `app.conf`, `./dist/app.tar`, `/srv/app.tar`. */
export const PlanFile = z.string().min(1).max(4096);

/**
 * Files that travel with the plan, of any kind and size, or a whole directory of them, with empty ones in it. They come from the controller by their
 * digest, once, and lie in the node's cache.
 */
export const copy = defineAction({
  kind: 'copy',
  version: 3,
  summary: 'a file or a directory of the plan, put on the node',
  input: z
    .strictObject({
      src: PlanFile.optional(),
      /** Instead of src: the file of a component for the architecture of the node, which a `blob.fetch` of the plan brings. */
      component: ComponentName.optional(),
      /** Of a file: its path, or with a `/` at its end the directory it comes into, made where there is none. Of a directory: what its content comes into. */
      dest: AbsolutePath,
      /** Of files. Unstated: one that is there keeps its own, a new one gets 0755 where the source is executable, else 0644. */
      mode: Mode.optional(),
      /** Of directories that are made; unstated: 0755. */
      directory_mode: Mode.optional(),
      owner: Account.optional(),
      group: Account.optional(),
    })
    .refine((input) => given(input, ['src', 'component']).length === 1, 'give exactly one of src and component'),
  output: z.object({
    path: z.string(),
    /** Absent of a directory. */
    sha256: z.string().optional(),
    mode: z.string().optional(),
    files: z.number(),
    bytes: z.number(),
  }),
  changes: true,
  repeatable: true,
  undo: 'restores',
  takesFiles: true,
  example: {
    src: 'containerd/config.toml',
    dest: '/etc/containerd/config.toml',
    mode: '0644',
  },
});
