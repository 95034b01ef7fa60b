import { randomUUID } from 'node:crypto';
import { reportIn } from '../../shared/error-report.ts';
import type { ErrorReport } from '../../shared/errors.ts';
import type { Installation } from '../../shared/protocol/messages.ts';
import type { AgentManifest } from '../bootstrap/agent-package.ts';
import type { Fleet } from '../dispatch/fleet.ts';
import type { UpgradeLine, UpgradeWish } from '../server/operations.ts';
import type { Nodes } from '../store/nodes.ts';
import type { Installations } from './installations.ts';
import { queueOf } from './queue.ts';

/** An agent that is asked says what it does at once, if it knows the question at all. */
const ANSWER_MS = 20_000;
/** For the package over a slow line. */
const FETCH_MS = 15 * 60_000;
/** Beyond the limit: coming to rest, the installation, and going back. */
const MARGIN_MS = 240_000;

export interface UpgraderParts {
  fleet: Pick<Fleet, 'isConnected' | 'send'>;
  nodes: Pick<Nodes, 'get'>;
  installations: Installations;
  /** Of the packages that /agent/<sha256> serves. */
  manifests: readonly AgentManifest[];
  /** Milliseconds that a node that is away is waited for: a controller that has just been started knows of nobody yet. */
  awaitMs: number;
}

/** Of a package, as an agent names what it was made of. */
export function releaseOf({ version, binary }: AgentManifest): string {
  return `${version}-${binary.sha256.slice(0, 8)}`;
}

/**
 * Replaces agents by the packaged one, batch after batch; a batch in which one fails is the last. Each node sees to itself
 * once it was told (ENGINE 4.8): when `signal` aborts, or this controller dies, those under way end all the same.
 */
export async function* upgradeNodes(
  parts: UpgraderParts,
  names: readonly string[],
  wish: Pick<UpgradeWish, 'batch' | 'limitSeconds'>,
  signal: AbortSignal,
): AsyncGenerator<UpgradeLine> {
  const queue = queueOf<UpgradeLine>();
  const work = async (): Promise<void> => {
    const waiting: Candidate[] = [];
    for (const line of await Promise.all(names.map((node) => judge(parts, node, (told) => queue.push(told), signal)))) {
      if ('manifest' in line) waiting.push(line);
      else queue.push(line);
    }
    let failed = false;
    for (let at = 0; at < waiting.length; at += wish.batch) {
      const batch = waiting.slice(at, at + wish.batch);
      if (failed || signal.aborted) {
        const phase = failed ? 'left as it is: an earlier one failed' : 'left as it is: cancelled';
        for (const { node } of batch) queue.push({ node, phase, done: true, result: 'left' });
        continue;
      }
      const ended = await Promise.all(
        batch.map((one) => upgradeOne(parts, one, wish.limitSeconds * 1000, (line) => queue.push(line), signal)),
      );
      failed = ended.includes('failed');
    }
  };
  void work()
    .catch((thrown: unknown) => queue.fail(thrown))
    .finally(() => queue.end());
  yield* queue.items;
}

interface Candidate {
  node: string;
  manifest: AgentManifest;
}

/** Who gets which package; or how it ends without one. */
async function judge(
  parts: UpgraderParts,
  node: string,
  say: (line: UpgradeLine) => void,
  signal: AbortSignal,
): Promise<Candidate | UpgradeLine> {
  const isThere = (): true | undefined => (parts.fleet.isConnected(node) ? true : undefined);
  if (!isThere() && parts.awaitMs > 0) {
    say({ node, phase: 'away: waited for', done: false });
    await parts.installations.until(node, isThere, { ms: parts.awaitMs, signal });
  }
  // Only now: what it is was perhaps not known before it came.
  const { record } = await parts.nodes.get(node);
  const manifest = parts.manifests.find(({ arch }) => arch === record?.arch);
  const failed = (phase: string, error: Omit<ErrorReport, 'node'>): UpgradeLine => ({
    ...{ node, phase, done: true, result: 'failed' },
    error: { ...error, node },
  });
  if (!parts.fleet.isConnected(node)) {
    return failed('away', {
      code: 'NODE_AWAY',
      message: `${node} is not connected.`,
      remedy: 'Upgrade it when it is back: `kk-controller nodes` shows it.',
    });
  }
  if (manifest === undefined) {
    return failed('no package', {
      code: 'AGENT_PACKAGE_MISSING',
      message: `There is no packaged agent for ${record?.arch ?? 'its architecture'}.`,
      remedy: `Run \`npm run package-agent -- --arch ${record?.arch ?? 'x64'}\` and start the controller again.`,
    });
  }
  if (parts.installations.of(node)?.release === releaseOf(manifest)) {
    return { node, phase: 'has the newest', done: true, result: 'newest' };
  }
  return { node, manifest };
}

async function upgradeOne(
  { fleet, installations }: UpgraderParts,
  { node, manifest }: Candidate,
  limitMs: number,
  say: (line: UpgradeLine) => void,
  signal: AbortSignal,
): Promise<'upgraded' | 'failed'> {
  const id = randomUUID();
  const release = releaseOf(manifest);
  const failed = (error: ErrorReport): 'failed' => {
    say({ node, phase: 'failed', done: true, result: 'failed', error: { ...error, node } });
    return 'failed';
  };
  const { gz, binary } = manifest;
  fleet.send([node], {
    kind: 'upgrade',
    value: {
      ...{ id, release, limit_ms: limitMs },
      ...{ gz_sha256: gz.sha256, gz_size: gz.size, binary_sha256: binary.sha256, binary_size: binary.size },
    },
  });
  say({ node, phase: 'asked', done: false });
  const own = (one: Installation | undefined): Installation | undefined => (one?.id === id ? one : undefined);
  if ((await installations.until(node, own, { ms: ANSWER_MS, signal })) === undefined) {
    if (signal.aborted) return failed(notAwaited(node));
    return failed({
      code: 'AGENT_TOO_OLD',
      message: `The agent of ${node} did not answer: it does not know how to upgrade itself, or has just left.`,
      remedy: `Upgrade it again; or run the line of \`kk-controller join-command --replace ${node}\` there.`,
    });
  }
  let told = '';
  const ended = await installations.until(
    node,
    (one) => {
      const { state } = own(one) ?? {};
      const phase = PHASES[state ?? ''];
      if (phase !== undefined && phase !== told) say({ node, phase, done: false });
      told = phase ?? told;
      return state !== undefined && ENDS.has(state) ? one : undefined;
    },
    { ms: FETCH_MS + limitMs + MARGIN_MS, signal },
  );
  if (ended?.state === 'INSTALL_STATE_DONE') {
    say({ node, phase: `runs ${release}`, done: true, result: 'upgraded' });
    return 'upgraded';
  }
  if (ended !== undefined) return failed(reportIn(ended.error, `The agent of ${node}`));
  return failed(signal.aborted ? notAwaited(node) : silent(node));
}

const PHASES: Readonly<Record<string, string>> = {
  INSTALL_STATE_FETCHING: 'fetching',
  INSTALL_STATE_SWITCHING: 'switching',
};
const ENDS: ReadonlySet<string> = new Set(['INSTALL_STATE_DONE', 'INSTALL_STATE_RETURNED', 'INSTALL_STATE_REFUSED']);

function notAwaited(node: string): ErrorReport {
  return {
    code: 'CANCELLED',
    message: `Nobody waited for the upgrade of ${node}.`,
    remedy: 'The node ends it by itself: see its version with `kk-controller nodes`.',
  };
}

function silent(node: string): ErrorReport {
  return {
    code: 'AGENT_SILENT',
    message: `${node} did not say how its upgrade went.`,
    remedy: `On ${node}: journalctl -u kk-agent -u kk-agent-upgrade.`,
  };
}
