import { z } from 'zod';
import { Facts } from '../../facts.ts';
import { defineRule, fail, pass, unknown, warn } from '../define-rule.ts';
import { atLeast } from '../versions.ts';

/** ID and VERSION_ID of os-release(5) against the list in the role's defaults. */
export const distribution = defineRule({
  name: 'distribution',
  summary: 'the distribution and its version are on the supported list',
  needs: 'facts',
  facts: Facts.pick({ os: true }),
  params: z.strictObject({
    /** os-release ID -> lowest VERSION_ID; an empty text takes every version. */
    supported: z.record(z.string(), z.string()),
    /** true: what is not on the list is a warning. */
    allow_unsupported: z.boolean(),
  }),
  judge({ os }, params) {
    const evidence = { id: os.id, id_like: os.id_like, version: os.version };
    const found = os.name || `${os.id} ${os.version}`.trim();
    if (os.id === '') return unknown('the distribution could not be read', 'check /etc/os-release on the node');

    const not = params.allow_unsupported ? warn : fail;
    const remedy = params.allow_unsupported
      ? 'try it on a spare machine first: nobody has tested this distribution with kk'
      : 'install a supported distribution, add it to precheck.distribution.supported, or set precheck.distribution.allow_unsupported: true';
    if (!Object.hasOwn(params.supported, os.id)) {
      const list = Object.keys(params.supported).sort().join(', ');
      return not(`${found} (ID ${os.id}) is not supported; supported are ${list}`, remedy, evidence);
    }
    const lowest = params.supported[os.id] ?? '';
    if (lowest === '') return pass(`${found} is supported`, evidence);
    const enough = atLeast(os.version, lowest);
    if (enough === undefined) {
      return warn(
        `${found} states no version; ${os.id} ${lowest} or later is supported`,
        'make sure by hand that this release is recent enough (rolling and testing releases state none)',
        evidence,
      );
    }
    if (!enough) return not(`${found} is too old; ${os.id} ${lowest} or later is supported`, remedy, evidence);
    return pass(`${found} is supported (${os.id} ${lowest} or later)`, evidence);
  },
});
