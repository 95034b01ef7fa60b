/** What replaces a simulated machine's agent: the package is fetched for real, the new agent is the old one started anew. */
import { rm } from 'node:fs/promises';
import type { Identity } from '../../agent/identity/identity-store.ts';
import { fetchRelease } from '../../agent/install/fetch-release.ts';
import type { Installer, InstallMessage } from '../../agent/link/installer.ts';
import { reportOf } from '../../shared/errors.ts';
import { jsonBytes } from '../../shared/protocol/codec.ts';
import type { Installation, InstallState } from '../../shared/protocol/messages.ts';

export interface InstallerParts {
  /** Where the package is put, and taken away again. */
  target: string;
  identity: () => Promise<Identity | undefined>;
  /** Ends the agent and starts the next one, with this same installer. */
  restart: () => Promise<void>;
}

export class SimulatedInstaller implements Installer {
  readonly #parts: InstallerParts;
  #state: Installation = {
    release: 'simulated-00000000',
    id: '',
    state: 'INSTALL_STATE_UNSPECIFIED',
    error: new Uint8Array(),
  };
  #onChange: () => void = () => {};

  constructor(parts: InstallerParts) {
    this.#parts = parts;
  }

  state(): Installation {
    return this.#state;
  }

  onChange(listener: () => void): void {
    this.#onChange = listener;
  }

  handle({ kind, value }: InstallMessage): void {
    const work = kind === 'upgrade' ? this.#upgrade(value) : Promise.reject(new Error('a simulated machine stays'));
    work.catch((thrown: unknown) => this.#tell(value.id, 'INSTALL_STATE_REFUSED', jsonBytes(reportOf(thrown))));
  }

  async #upgrade(wish: Extract<InstallMessage, { kind: 'upgrade' }>['value']): Promise<void> {
    const { target, identity, restart } = this.#parts;
    this.#tell(wish.id, 'INSTALL_STATE_FETCHING');
    const own = await identity();
    if (own === undefined) throw new Error('a machine without an identity has a connection');
    await fetchRelease(own, wish, target, Date.now);
    await rm(target);
    this.#tell(wish.id, 'INSTALL_STATE_SWITCHING');
    this.#state = { ...this.#state, release: wish.release, state: 'INSTALL_STATE_DONE' };
    await restart();
  }

  #tell(id: string, state: InstallState, error: Uint8Array = new Uint8Array()): void {
    this.#state = { ...this.#state, id, state, error };
    this.#onChange();
  }
}
