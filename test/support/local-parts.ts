import type { LocalActions } from '../../controller/run/local/local-action.ts';
import type { LocalParts } from '../../controller/run/local/worker.ts';

async function nothing(): Promise<never> {
  throw new Error('no step of the controller itself is expected here');
}

const NO_ACTIONS: LocalActions = {
  'blob.fetch': { act: nothing },
  confirm: { act: nothing },
  'kubeconfig.keep': { act: nothing },
  'pki.issue': { act: nothing },
  'secret.make': { act: nothing },
};

/** For runs without a task `on: controller`. */
export const NOTHING_LOCAL: Omit<LocalParts, 'clock' | 'record'> = {
  actions: NO_ACTIONS,
  tell() {},
  timer: () => ({ cancel() {} }),
  facts: async () => undefined,
  unseal: (value) => value,
};
