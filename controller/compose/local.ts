import { randomBytes } from 'node:crypto';
import { KkError } from '../../shared/errors.ts';
import type { Value } from '../../shared/expr/index.ts';
import { issuing } from '../operations/issue-certificate.ts';
import { makeSecret } from '../operations/make-secret.ts';
import type { Confirmations } from '../run/local/confirmations.ts';
import type { LocalActions } from '../run/local/local-action.ts';
import type { LocalParts } from '../run/local/worker.ts';
import type { Clock } from '../run/ports.ts';
import type { State } from './state.ts';

/** What the controller itself can do in runs. */
export function localParts(
  { cas, certificates, facts, seal, secrets, kubeconfigs }: State,
  confirmations: Confirmations,
  clock: Clock,
  timer: LocalParts['timer'],
): Omit<LocalParts, 'clock' | 'record'> {
  const actions: LocalActions = {
    'blob.fetch': absent('blob.fetch'),
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
    'secret.make': makeSecret({ secrets, random: randomBytes }),
  };
  return {
    actions,
    timer,
    facts: async (node) => (await facts.of(node)) as unknown as Value | undefined,
    unseal: seal.unseal,
  };
}

function absent(kind: string): LocalActions['confirm'] {
  return {
    async act() {
      throw new KkError({
        code: 'ACTION_ABSENT',
        message: `This controller cannot do ${kind} yet.`,
        remedy: 'Use a newer kk.',
      });
    },
  };
}
