import { realpath, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type ErrorReport, KkError, reportOf } from '../../shared/errors.ts';
import { jsonBytes } from '../../shared/protocol/codec.ts';
import type { Installation, InstallState, Upgrade } from '../../shared/protocol/messages.ts';
import type { Host } from '../host/host.ts';
import type { IdentityStore } from '../identity/identity-store.ts';
import type { Installer, InstallMessage } from '../link/installer.ts';
import { fetchRelease, type Package } from './fetch-release.ts';
import type { Layout } from './layout.ts';
import { guardBy } from './place-executable.ts';
import { startDetached, startGuard } from './units.ts';
import type { UpgradeFiles } from './upgrade-files.ts';
import { checkedWish } from './wish.ts';

export interface InstallationParts {
  /** This process's own executable, without symlinks. */
  executable: string;
  layout: Layout;
  host: Pick<Host, 'run' | 'files'>;
  store: IdentityStore;
  files: UpgradeFiles;
  clock: { nowMs(): number; after(ms: number, then: () => void): () => void };
  /** Lets the executor come to rest before this process is ended, and go on when it is not. */
  work: { standStill(): Promise<void>; goOn(): void };
  /** Default: from the controller. */
  fetch?: (wanted: Package, target: string) => Promise<void>;
}

/** The work may take so long to come to rest; then it is cut, as by a crash, and taken up by the next agent. */
const REST_MS = 60_000;
/** A program that only tells its version. */
const VERSION_MS = 20_000;
/** How often the guard's verdict on this very agent is looked for. */
const LOOK_MS = 1_000;

/**
 * The agent's own installation (ENGINE 4.8): it fetches its successor and tries whether it starts at all; then a guard
 * takes over (guard.ts), a process of its own, for this one ends on the way. Before that nothing is changed.
 */
export class OwnInstallation implements Installer {
  readonly #parts: InstallationParts;
  readonly #release: string;
  #state: Omit<Installation, 'release'> = { id: '', state: 'INSTALL_STATE_UNSPECIFIED', error: new Uint8Array() };
  #onChange: () => void = () => {};

  private constructor(parts: InstallationParts, release: string) {
    this.#parts = parts;
    this.#release = release;
  }

  /** Reads how the last upgrade went; `stopped` ends the watch of one that is under way. */
  static async open(parts: InstallationParts, stopped: AbortSignal): Promise<OwnInstallation> {
    const own = new OwnInstallation(parts, (await releaseOf(parts.executable, parts.layout)) ?? '');
    const pending = await parts.files.pending();
    if (pending === undefined) await own.#readOutcome();
    else {
      own.#tell(pending.id, 'INSTALL_STATE_SWITCHING');
      void own.#awaitVerdict(pending.id, stopped);
    }
    return own;
  }

  state(): Installation {
    return { release: this.#release, ...this.#state };
  }

  onChange(listener: () => void): void {
    this.#onChange = listener;
  }

  handle(message: InstallMessage): void {
    const { id } = message.value;
    const isBusy = ['INSTALL_STATE_FETCHING', 'INSTALL_STATE_SWITCHING', 'INSTALL_STATE_LEAVING'].includes(
      this.#state.state,
    );
    if (this.#state.id === id) this.#onChange();
    else if (isBusy) this.#refuseAnother(id);
    else {
      const work = message.kind === 'upgrade' ? this.#upgrade(message.value) : this.#leave(id);
      work.catch((thrown: unknown) => this.#tell(id, 'INSTALL_STATE_REFUSED', reportOf(thrown)));
    }
  }

  async #upgrade(asked: Upgrade): Promise<void> {
    const { layout, host, store, files, work, clock } = this.#parts;
    const wish = checkedWish(asked);
    if (wish.release === this.#release) return this.#tell(wish.id, 'INSTALL_STATE_DONE');
    this.#refuseFromSource();
    // Before anything is waited for: another wish that comes meanwhile is refused.
    this.#tell(wish.id, 'INSTALL_STATE_FETCHING');
    const identity = await store.load();
    if (identity === undefined) throw new Error('an agent without an identity has a connection');
    const executable = join(layout.library, INCOMING, 'kk-agent');
    try {
      await rm(dirname(executable), { recursive: true, force: true });
      const fetch = this.#parts.fetch ?? ((wanted, target) => fetchRelease(identity, wanted, target, clock.nowMs));
      await fetch(wish, executable);
      await refuseBroken(host, executable);
      // Between two starts, so that nothing but commands is cut (ENGINE 4.8).
      await Promise.race([work.standStill(), this.#sleep(REST_MS)]);
      this.#tell(wish.id, 'INSTALL_STATE_SWITCHING');
      await guardBy(layout.library, this.#release);
      const { name } = identity;
      const { id, release: to, limit_ms: limitMs } = wish;
      await files.begin({ id, from: this.#release, to, name, executable, limitMs });
      await startGuard(host);
    } catch (thrown) {
      work.goOn();
      await files.cancel();
      await rm(dirname(executable), { recursive: true, force: true });
      throw thrown;
    }
  }

  async #leave(id: string): Promise<void> {
    this.#refuseFromSource();
    this.#tell(id, 'INSTALL_STATE_LEAVING');
    await startDetached(this.#parts.host, 'kk-agent-uninstall', [this.#parts.executable, 'uninstall', '--yes']);
  }

  /** The guard has its own opinion of this agent; what it found is what the controller hears. */
  async #awaitVerdict(id: string, stopped: AbortSignal): Promise<void> {
    while (!stopped.aborted && (await this.#parts.files.pending()) !== undefined) await this.#sleep(LOOK_MS, stopped);
    if (stopped.aborted) return;
    await this.#readOutcome();
    // The guard had no room to write it.
    if (this.#state.id !== id || this.#state.state === 'INSTALL_STATE_SWITCHING') {
      this.#tell(id, 'INSTALL_STATE_RETURNED', untold());
    }
  }

  async #readOutcome(): Promise<void> {
    const outcome = await this.#parts.files.outcome();
    if (outcome === undefined) return;
    if (outcome.error === undefined) this.#tell(outcome.id, 'INSTALL_STATE_DONE');
    else this.#tell(outcome.id, 'INSTALL_STATE_RETURNED', outcome.error);
  }

  #tell(id: string, state: InstallState, error?: ErrorReport): void {
    this.#state = { id, state, error: error === undefined ? new Uint8Array() : jsonBytes(error) };
    this.#onChange();
  }

  /** Told once; what is under way stays what is told from then on. */
  #refuseAnother(id: string): void {
    const under = this.#state;
    this.#tell(id, 'INSTALL_STATE_REFUSED', {
      code: 'UPGRADE_UNDER_WAY',
      message: 'Another upgrade of this agent is under way.',
      remedy: 'Wait until it has ended: `kk-controller nodes` tells the version.',
    });
    this.#state = under;
  }

  #sleep(ms: number, stopped?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#parts.clock.after(ms, resolve);
      stopped?.addEventListener('abort', () => {
        cancel();
        resolve();
      });
    });
  }

  #refuseFromSource(): void {
    if (this.#release === '') throw new KkError(runsFromSource());
  }
}

/** What an agent says that was not put here by `kk-agent install`. */
export function runsFromSource(): ErrorReport {
  return {
    code: 'AGENT_NOT_INSTALLED',
    message: 'This agent was not installed by kk: it runs from source, or from a place of somebody else.',
    remedy:
      'Update it the way it came; or run the line of `kk-controller join-command` there, which installs the agent.',
  };
}

/** Where a fetched executable lies until it has a release's name. */
const INCOMING = '.incoming.upgrade';

async function releaseOf(executable: string, { library }: Layout): Promise<string | undefined> {
  const folder = dirname(executable);
  const real = await realpath(library).catch(() => library);
  return dirname(folder) === real ? basename(folder) : undefined;
}

function untold(): ErrorReport {
  return {
    code: 'UPGRADE_NOT_TOLD',
    message: 'The agent of before is back; why is not known, for the disk of the node had no room to write it down.',
    remedy: 'Make room in the file system of /var/lib/kk-agent; the log is there: journalctl -u kk-agent-upgrade.',
  };
}

/** An executable that cannot even tell its version is not tried as an agent. */
async function refuseBroken(host: Pick<Host, 'run'>, executable: string): Promise<void> {
  const { code, stdout, stderr } = await host.run([executable, 'version'], { timeoutMs: VERSION_MS });
  if (code === 0) return;
  throw new KkError({
    code: 'AGENT_DOES_NOT_START',
    message: `The new agent does not start on this machine: \`kk-agent version\` ended with ${code}.`,
    evidence: `${stderr}${stdout}`.trim().slice(-2000),
    remedy: 'Package the agent again for this kind of machine (`npm run package-agent`); the old one goes on.',
  });
}
