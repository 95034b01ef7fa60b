import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Value } from '../../shared/expr/index.ts';
import { fetchComponent } from '../components/fetch.ts';
import { issuing } from '../operations/issue-certificate.ts';
import { makeSecret } from '../operations/make-secret.ts';
import type { Confirmations } from '../run/local/confirmations.ts';
import type { LocalActions } from '../run/local/local-action.ts';
import type { LocalParts } from '../run/local/worker.ts';
import type { Clock } from '../run/ports.ts';
import type { State } from './state.ts';

/** What the controller itself can do in runs. */
export function localParts(
  { facts, seal, kubeconfigs, downloads, secrets, cas, certificates }: State,
  confirmations: Confirmations,
  clock: Clock,
  timer: LocalParts['timer'],
  tell: LocalParts['tell'],
): Omit<LocalParts, 'clock' | 'record'> {
  const actions: LocalActions = {
    'blob.fetch': fetchComponent(downloads),
    confirm: { act: confirmations.act },
    'kubeconfig.keep': {
      async act({ run, task, inputs }) {
        const { name, content } = inputs as { name: string; content: string };
        return { changed: await kubeconfigs.keep(name, content, { run, task }), output: { name } };
      },
      async check({ inputs }) {
        const { name, content } = inputs as { name: string; content: string };
        return { changed: !(await kubeconfigs.isKept(name, content)) };
      },
      undo: (work) => kubeconfigs.restore(work),
    },
    'pki.issue': issuing({ cas, certificates, random: randomBytes, nowMs: clock.nowMs }),
    'secret.make': makeSecret({ secrets, random: randomBytes, readFile: (path) => readFile(path) }),
  };
  return {
    actions,
    timer,
    tell,
    facts: async (node) => (await facts.of(node)) as unknown as Value | undefined,
    unseal: seal.unseal,
  };
}
