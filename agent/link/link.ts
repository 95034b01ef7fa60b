import { clockSkew } from '../../shared/clock-skew.ts';
import { type ErrorReport, reportOf } from '../../shared/errors.ts';
import type { Welcome } from '../../shared/protocol/messages.ts';
import type { Clock, Logger } from '../executor/ports.ts';
import { certificateOf, type Identity, type IdentityStore } from '../identity/identity-store.ts';
import { needsRenewal } from '../identity/keys.ts';
import { helloOf, type Self } from './hello.ts';
import type { Installer } from './installer.ts';
import type { LiveLog } from './live-log.ts';
import { notJoined, renewIdentity } from './renew.ts';
import type { ShellWork } from './shell-work.ts';
import { type Ending, Talk } from './talk.ts';
import type { Dial } from './transport.ts';
import type { Work } from './work.ts';

/** Until a Welcome says otherwise (ENGINE 4.10). */
const DEFAULT_CAP_MS = 5_000;
/** After a Closing that is final. */
const FINAL_MS = 60_000;
/** The same trouble is told this often. */
const TELL_EVERY_MS = 60_000;
/** A renewal that failed is tried again after this long, whatever the connection does. */
const RENEW_EVERY_MS = 600_000;

/** How the link stands, for `kk-agent status`. */
export type LinkState =
  | { state: 'connected'; endpoint: string; sinceMs: number }
  | { state: 'away'; sinceMs: number; trouble: Pick<ErrorReport, 'code' | 'message' | 'remedy'> };

export interface LinkOptions {
  store: IdentityStore;
  dial: Dial;
  self: Self;
  work: Work;
  installer: Installer;
  log: LiveLog;
  shells: ShellWork;
  clock: Clock;
  /** Uniform in [0, 1). */
  random: () => number;
  logger: Logger;
  onState?: (state: LinkState) => void;
}

/** Keeps the agent connected for as long as it runs: endpoints in order, full jitter, renewal at half life. */
export class Link {
  readonly #options: LinkOptions;
  #talk: Talk | undefined;
  #capMs = DEFAULT_CAP_MS;
  #told = { text: '', atMs: Number.NEGATIVE_INFINITY };
  #renewalTriedAt = Number.NEGATIVE_INFINITY;
  #stopped = false;
  #interrupt: () => void = () => {};

  constructor(options: LinkOptions) {
    this.#options = options;
    options.work.onOutgoing(() => this.#talk?.pump());
    options.work.onWish((wish) => this.#talk?.wish(wish));
    options.installer.onChange(() => this.#talk?.tellInstallation());
  }

  /** Resolves after {@link stop}. Rejects with KkError NOT_JOINED or IDENTITY_DAMAGED: waiting would not help. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      const identity = await this.#options.store.load();
      if (identity === undefined) throw notJoined();
      const current = await this.#renewedIfDue(identity);
      const ending = await this.#connectOnce(current);
      if (this.#stopped) return;
      this.#tell(ending);
      const jitter = this.#options.random() * this.#capMs;
      await this.#pause(ending.final ? FINAL_MS + jitter : jitter);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#talk?.close();
    this.#interrupt();
  }

  /** Every endpoint once, until one lets us in; then until that connection ends. */
  async #connectOnce(identity: Identity): Promise<Ending> {
    let ending: Ending = { ...notJoined().report, final: false, welcomed: false };
    for (const endpoint of identity.endpoints) {
      if (this.#stopped) return ending;
      ending = await this.#connectTo(endpoint, identity);
      if (ending.welcomed || ending.final) return ending;
    }
    return ending;
  }

  async #connectTo(endpoint: string, identity: Identity): Promise<Ending> {
    const { work, installer, log, shells, clock, self, dial, logger } = this.#options;
    let stopWatch = (): void => {};
    const talk = new Talk({
      work,
      installer,
      log,
      shells,
      clock,
      hello: helloOf(self, clock.nowMs(), work.held()),
      onWelcome: (welcome) => {
        this.#capMs = Math.max(0, welcome.reconnect_cap_ms) || DEFAULT_CAP_MS;
        this.#told = { text: '', atMs: Number.NEGATIVE_INFINITY };
        logger.info({ endpoint, node: welcome.name, level: welcome.level }, 'connected to the controller');
        const skew = clockSkew(welcome.name, clock.nowMs(), welcome.now_ms);
        if (skew) logger.warn({ ...skew }, skew.message);
        this.#options.onState?.({ state: 'connected', endpoint, sinceMs: clock.nowMs() });
        void this.#keepWhatIsNew(identity, endpoint, welcome);
        stopWatch = this.#watchCertificate(talk, identity);
      },
    });
    try {
      talk.begin(await dial(endpoint, identity, talk));
    } catch (thrown) {
      const { code, message, remedy } = reportOf(thrown);
      return { code, message, remedy, final: false, welcomed: false };
    }
    this.#talk = talk;
    if (this.#stopped) talk.close();
    const ending = await talk.ended;
    stopWatch();
    this.#talk = undefined;
    return ending;
  }

  /** New endpoints or trust: tried on a connection, then kept; otherwise the old ones stay (ENGINE 4.2). */
  async #keepWhatIsNew(identity: Identity, endpoint: string, welcome: Welcome): Promise<void> {
    // The way we came stays the last resort: it is known to work from this node.
    const endpoints = [...new Set([...welcome.endpoints, endpoint])];
    // A renewed issuing certificate changes the text and not the version; an older version never comes back.
    const isNewer = welcome.bundle_version >= identity.bundleVersion && welcome.bundle_pem !== identity.bundlePem;
    const hasBundle = welcome.bundle_pem !== '' && isNewer;
    const isSame =
      endpoints.length === identity.endpoints.length && endpoints.every((one, at) => one === identity.endpoints[at]);
    if (isSame && !hasBundle) return;
    const bundle = hasBundle ? { bundlePem: welcome.bundle_pem, bundleVersion: welcome.bundle_version } : {};
    const candidate: Identity = { ...identity, ...bundle, endpoints };
    const { dial, store, logger } = this.#options;
    for (const one of endpoints) {
      try {
        const trial = await dial(one, candidate, { onFrame: () => {}, onClose: () => {} });
        trial.close();
        // A renewal in between has put a newer certificate there.
        if ((await store.load())?.certificatePem !== identity.certificatePem) return;
        await store.save(candidate);
        logger.info({ endpoints, bundle: candidate.bundleVersion }, 'endpoints and trust of the controller kept');
        return;
      } catch (thrown) {
        logger.warn(
          { endpoint: one, report: reportOf(thrown) },
          'an endpoint that the controller named does not work from here',
        );
      }
    }
  }

  async #renewedIfDue(identity: Identity): Promise<Identity> {
    const { clock, store, dial, self, logger } = this.#options;
    const certificate = certificateOf(identity);
    const isDue = needsRenewal(certificate, clock.nowMs()) || (await store.candidate()) !== undefined;
    if (!isDue || clock.bootTimeMs() - this.#renewalTriedAt < RENEW_EVERY_MS) return identity;
    this.#renewalTriedAt = clock.bootTimeMs();
    try {
      const renewed = await renewIdentity({ store, dial, self, clock });
      logger.info({ until: certificateOf(renewed).validTo }, 'certificate renewed');
      return renewed;
    } catch (thrown) {
      logger.warn({ report: reportOf(thrown) }, 'the certificate could not be renewed yet');
      return identity;
    }
  }

  /** At half life the connection is made anew, and the certificate with it. The answer ends the watch. */
  #watchCertificate(talk: Talk, identity: Identity): () => void {
    const { clock } = this.#options;
    const certificate = certificateOf(identity);
    const look = (): void => {
      const mayTry = clock.bootTimeMs() - this.#renewalTriedAt >= RENEW_EVERY_MS;
      if (mayTry && needsRenewal(certificate, clock.nowMs())) talk.close();
      else stop = clock.after(RENEW_EVERY_MS, look);
    };
    let stop = clock.after(RENEW_EVERY_MS, look);
    return () => stop();
  }

  /** Says why there is no connection: when it changes, and once a minute. */
  #tell({ code, message, remedy, final }: Ending): void {
    const { clock, logger } = this.#options;
    this.#options.onState?.({ state: 'away', sinceMs: clock.nowMs(), trouble: { code, message, remedy } });
    const now = clock.bootTimeMs();
    const text = `${code} ${message}`;
    if (text === this.#told.text && now - this.#told.atMs < TELL_EVERY_MS) return;
    this.#told = { text, atMs: now };
    logger.warn({ code, remedy, final }, `not connected: ${message}`);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.#options.clock.after(ms, resolve);
      this.#interrupt = () => {
        stop();
        resolve();
      };
    });
  }
}
