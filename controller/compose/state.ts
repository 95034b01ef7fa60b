import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Downloads } from '../components/downloads.ts';
import { type Authority, openAuthority } from '../pki/authority.ts';
import { ClusterCas } from '../pki/cluster-cas.ts';
import { openSealKey, type SealKey } from '../pki/seal-key.ts';
import { openSealing } from '../pki/sealing.ts';
import type { Clock } from '../run/ports.ts';
import { type BlobStore, openBlobs } from '../store/blobs.ts';
import { type Certificates, certificateStore } from '../store/certificates.ts';
import { type Database, openDatabase } from '../store/database.ts';
import { eventLog, type RunArchive } from '../store/event-log.ts';
import { type FactsStore, factsStore } from '../store/facts.ts';
import { type Fetched, fetchedFiles } from '../store/fetched.ts';
import { type Identities, openIdentities } from '../store/identities.ts';
import { type Kubeconfigs, kubeconfigs } from '../store/kubeconfigs.ts';
import { raiseGeneration } from '../store/meta.ts';
import { type Nodes, nodeStore } from '../store/nodes.ts';
import { type Pendings, pendingStore } from '../store/pendings.ts';
import { type RunLogs, runLogs } from '../store/run-logs.ts';
import { type Secrets, secretStore } from '../store/secrets.ts';
import { type Tokens, tokenStore } from '../store/tokens.ts';
import type { OnEnd } from './on-end.ts';

/** Everything that outlives the process: the state folder, opened. */
export interface State {
  folder: string;
  authority: Authority;
  database: Database;
  generation: number;
  archive: RunArchive;
  identities: Identities;
  tokens: Tokens;
  pendings: Pendings;
  nodes: Nodes;
  logs: RunLogs;
  facts: FactsStore;
  blobs: BlobStore;
  downloads: Downloads;
  fetched: Fetched;
  /** Of plans and their clusters. */
  secrets: Secrets;
  cas: ClusterCas;
  certificates: Certificates;
  seal: SealKey;
  kubeconfigs: Kubeconfigs;
}

/** Opens the state of a folder that this process has taken, and raises its generation. */
export async function openState(folder: string, clock: Clock, onEnd: OnEnd): Promise<State> {
  const pki = join(folder, 'pki');
  const authority = await openAuthority(pki, { clock: clock.nowMs });
  const sealing = await openSealing(pki, randomBytes);
  const database = await openDatabase(folder);
  onEnd(() => database.close());
  const blobs = await openBlobs(join(folder, 'blobs'), clock.nowMs);
  return {
    folder,
    authority,
    database,
    generation: await raiseGeneration(database),
    archive: eventLog(database),
    identities: await openIdentities(database),
    tokens: tokenStore(database),
    pendings: pendingStore(database),
    nodes: nodeStore(database),
    logs: runLogs(join(folder, 'runs')),
    facts: factsStore(database),
    blobs,
    downloads: await Downloads.open({
      blobs,
      folder: join(folder, 'downloads'),
      nowMs: clock.nowMs,
      pause: async (ms, signal) => void (await setTimeout(ms, undefined, { signal })),
    }),
    fetched: await fetchedFiles(join(folder, 'arriving'), clock.nowMs),
    secrets: secretStore(database, sealing, clock.nowMs),
    cas: new ClusterCas(pki, { random: randomBytes, nowMs: clock.nowMs }),
    certificates: certificateStore(database),
    seal: await openSealKey(pki),
    kubeconfigs: kubeconfigs(join(folder, 'kubeconfigs')),
  };
}
