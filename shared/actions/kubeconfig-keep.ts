import { z } from 'zod';
import { defineAction } from './define-action.ts';
import { Handle } from './fields.ts';

/** Keeps the kubeconfig of a cluster in the state folder of the controller, for `kk-controller kubeconfig`. */
export const kubeconfigKeep = defineAction({
  kind: 'kubeconfig.keep',
  version: 1,
  summary: 'keep the kubeconfig of a cluster at the controller',
  input: z.strictObject({
    /** The name of the cluster. */
    name: Handle,
    /** The kubeconfig as text. */
    content: z.string().min(1).max(65_536),
  }),
  output: z.object({ name: z.string() }),
  changes: false,
  repeatable: true,
  undo: 'restores',
  place: 'controller',
  example: { name: 'kubernetes', content: '{{ admin_conf.content }}' },
});
