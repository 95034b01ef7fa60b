import { readFile, stat } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { readableTime } from '../../shared/certificates.ts';
import type { NodeCertificate, NodeCertificates } from '../../shared/node-certificates.ts';
import { findCertificates, USUAL_PLACES } from '../certs/find.ts';
import { readRenewal, renewCertificates } from '../certs/renew.ts';
import { runAtWork } from '../executor/run-at-work.ts';
import type { Host } from '../host/host.ts';
import { createHost } from '../host/index.ts';
import { certificateOf, IdentityStore } from '../identity/identity-store.ts';
import { statePaths } from '../state-folder.ts';

export interface CertsRenewOptions {
  state: string;
  /** Milliseconds. */
  renewBefore: number;
  binDir: string;
  kubeletDir: string;
  now?: true;
  /** It is a step of a run, so it need not wait for one. */
  inRun?: true;
}

/** Prints every certificate on this node, and what became of the last renewal. */
export async function listCerts(options: { state: string; kubeletDir: string; output: string }): Promise<void> {
  const host = createHost({ wrapper: { argv: ['kk-agent'] } });
  const certificates = [
    ...(await findCertificates(host.files, placesWith(options.kubeletDir))),
    ...(await agentsOwn(options.state)),
  ];
  const renewal = await readRenewal(host, statePaths(options.state).certs);
  const told: NodeCertificates = { certificates, ...(renewal === undefined ? {} : { renewal }) };
  process.stdout.write(options.output === 'json' ? `${JSON.stringify(told)}\n` : worded(told));
}

/**
 * Renews kubeadm's certificates if it is time; the exit code is 1 when that failed, and 75 (EX_TEMPFAIL) when it has to wait:
 * its service tries again in an hour for either.
 */
export async function renewCerts(options: CertsRenewOptions): Promise<void> {
  const host = createHost({ wrapper: { argv: ['kk-agent'] } });
  const paths = statePaths(options.state);
  const renewal = await renewCertificates(
    {
      node: await nodeName(host, options.state),
      places: placesWith(options.kubeletDir),
      bin: options.binDir,
      renewBeforeMs: options.renewBefore,
      now: options.now === true,
      status: paths.certs,
    },
    {
      host,
      waiting: { sleep: (ms) => setTimeout(ms), bootTimeMs: () => host.bootTimeMs() },
      runAtWork: () => (options.inRun ? Promise.resolve(false) : isRunAtWork(paths.journal)),
    },
  );
  const isWell = renewal.state === 'good' || renewal.state === 'renewed';
  (isWell ? process.stdout : process.stderr).write(`${renewal.state}: ${renewal.message}\n`);
  if (!isWell) process.exitCode = renewal.waits ? 75 : 1;
}

function placesWith(kubelet: string) {
  return { ...USUAL_PLACES, kubelet: `${kubelet}/pki` };
}

/** The name in the Lease: the node's in the inventory, else the machine's. */
async function nodeName(host: Host, state: string): Promise<string> {
  const identity = await new IdentityStore(statePaths(state).identity).load();
  return identity?.name ?? (await host.run(['uname', '-n'])).stdout.trim();
}

async function isRunAtWork(journal: string): Promise<boolean> {
  try {
    const [bytes, { mtimeMs }] = await Promise.all([readFile(journal), stat(journal)]);
    return runAtWork(bytes, Date.now() - mtimeMs);
  } catch {
    // No agent ever worked here.
    return false;
  }
}

async function agentsOwn(state: string): Promise<NodeCertificate[]> {
  const paths = statePaths(state);
  const identity = await new IdentityStore(paths.identity).load();
  if (identity === undefined) return [];
  const { validToDate } = certificateOf(identity);
  const own = { name: 'kk-agent', path: paths.identity, subject: identity.name, issuer: 'kk issuing CA' };
  return [{ ...own, not_after_ms: validToDate.getTime(), keeper: 'agent' }];
}

function worded({ certificates, renewal }: NodeCertificates): string {
  const wide = Math.max(0, ...certificates.map(({ name }) => name.length));
  const lines = certificates.map(({ name, not_after_ms }) => `${name.padEnd(wide)}  ${readableTime(not_after_ms)}`);
  if (renewal) lines.push(`last renewal ${readableTime(renewal.at_ms)}: ${renewal.state}: ${renewal.message}`);
  return lines.map((line) => `${line}\n`).join('');
}
