import { pkiIssue } from '../../shared/actions/pki-issue.ts';
import { readableTime } from '../../shared/certificates.ts';
import type { Random } from '../pki/certs.ts';
import type { ClusterCas } from '../pki/cluster-cas.ts';
import { issueCertificate } from '../pki/issue.ts';
import type { LocalActions } from '../run/local/local-action.ts';
import type { Certificates } from '../store/certificates.ts';

export interface IssueParts {
  cas: ClusterCas;
  certificates: Certificates;
  random: Random;
  nowMs: () => number;
}

/** `pki.issue`: a certificate for a node's key by a CA of the plan. */
export function issuing({ cas, certificates, random, nowMs }: IssueParts): LocalActions['pki.issue'] {
  return {
    async act({ inputs, plan, node, run, task }) {
      const { ca, ...wish } = pkiIssue.input.parse(inputs);
      const issuer = await cas.open(plan, ca);
      const wanted = { ...wish, plan, ca, node, run, task };
      const { pem, isNew } = await issueCertificate(wanted, issuer, { ledger: certificates, random, nowMs });
      return { changed: isNew, output: { certificate: pem, ca: issuer.certificate.toString() } };
    },
    async undo({ plan, node, run, task }) {
      const revoked = await certificates.revoke({ plan, run, task, node }, nowMs());
      return {
        restored: revoked.map(({ serial }) => `the certificate ${serial} is revoked`),
        // Nobody asks for a list of revoked ones: what trusts the CA takes it until it ends.
        left: revoked.map(
          ({ serial, notAfter }) => `who has the key can use the certificate ${serial} until ${readableTime(notAfter)}`,
        ),
      };
    },
  };
}
