import { z } from 'zod';
import { Facts } from '../../facts.ts';
import { defineRule, fail, pass, unknown } from '../define-rule.ts';

/** Binaries and images exist for these only. */
export const architecture = defineRule({
  name: 'architecture',
  summary: 'the processor architecture is one that kk installs',
  needs: 'facts',
  facts: Facts.pick({ architecture: true }),
  params: z.strictObject({
    /** Kubernetes' spelling: amd64, arm64. */
    supported: z.array(z.string()).min(1),
  }),
  judge({ architecture: found }, params) {
    const evidence = { architecture: found };
    if (found === '') return unknown('the architecture could not be found out', 'check `uname -m` on the node');
    const list = params.supported.join(', ');
    if (!params.supported.includes(found)) {
      return fail(
        `the architecture is ${found}; supported are ${list}`,
        'take a machine, or a system, of a supported architecture',
        evidence,
      );
    }
    return pass(`the architecture ${found} is supported`, evidence);
  },
});
