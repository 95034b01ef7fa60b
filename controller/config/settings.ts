import { join } from 'node:path';

/** The environment variables kk-controller reads. There are no others; options on the command line are stronger. */
export const SETTINGS = [
  { env: 'KK_STATE', about: 'State folder (as --state)' },
  {
    env: 'KK_LISTEN',
    about: 'Address and port for the agents (as serve --listen), also when apply starts the controller',
  },
  { env: 'KK_ADVERTISE', about: 'Addresses told to the agents, separated by commas (as serve --advertise)' },
  { env: 'KK_APPROVE', about: 'yes or no: each join waits for a person (as serve --approve, --no-approve)' },
  { env: 'KK_AGENTS', about: 'Folder of the packaged agents, for serve and for the controller that apply starts' },
  { env: 'NO_COLOR', about: 'Set to anything: no colours' },
] as const;

export interface ListenAddress {
  host: string;
  port: number;
}

export const DEFAULT_LISTEN: ListenAddress = { host: '0.0.0.0', port: 9443 };
export const ROOT_STATE_FOLDER = '/var/lib/kk-controller';

export interface Settings {
  stateFolder: string;
  /** `host:port`; undefined: as the controller of this state folder listened before. */
  listen: string | undefined;
  advertise: string[] | undefined;
  /** As it stands in the environment. */
  approve: string | undefined;
  /** Undefined: where `npm run package-agent` puts them. */
  agentFolder: string | undefined;
  color: boolean;
  /** May a terminal be drawn over? Not a dumb one (an editor's, a serial line's log). */
  live: boolean;
  /** TERM: the kind of terminal this is. */
  term: string;
  /** Who asks, for the audit: the local user's name. */
  user: string;
}

/** Settings of this process, from its environment and user; the only reader of both besides main. */
export function readSettings(
  env: Readonly<Record<string, string | undefined>>,
  who: { uid: number; user: string; home: string },
): Settings {
  const ownFolder = who.uid === 0 ? ROOT_STATE_FOLDER : join(who.home, '.local/state/kk-controller');
  return {
    stateFolder: env.KK_STATE || ownFolder,
    listen: env.KK_LISTEN || undefined,
    advertise: env.KK_ADVERTISE?.split(',').filter((endpoint) => endpoint !== ''),
    approve: env.KK_APPROVE || undefined,
    agentFolder: env.KK_AGENTS || undefined,
    color: !env.NO_COLOR && env.TERM !== 'dumb',
    live: env.TERM !== 'dumb',
    term: env.TERM ?? '',
    user: who.uid === 0 && env.SUDO_USER ? `${env.SUDO_USER} (sudo)` : who.user,
  };
}

/** What `serve` is asked to be; `runServe` of compose takes it. */
export interface ServeOptions {
  /** Absolute. */
  stateFolder: string;
  /**
   * For the agents, TCP. Port 0: any free one. Undefined: as before on this state folder, since the agents know that
   * address; at first {@link DEFAULT_LISTEN}.
   */
  listen: ListenAddress | undefined;
  /**
   * `https://host:port`, in the order in which agents try them; empty: made from the machine's own addresses. Undefined: as
   * before on this state folder.
   */
  advertise: string[] | undefined;
  /** Every join waits for `nodes approve`, whatever its token says. Undefined: as before on this state folder; at first not. */
  approve?: boolean | undefined;
  /** Ends by itself once no run is active and nobody asks for anything. */
  untilIdle: boolean;
  /** How long an agent may start new steps without hearing from the controller (ENGINE 2.6). */
  leaseSeconds: number;
  /** How long a run waits for a node to which nothing was sent yet (ENGINE 2.6). */
  connectTimeoutSeconds: number;
  /** How long a shell may be open in which nothing is typed and nothing printed; 0: for ever. */
  shellIdleSeconds: number;
  /** Where the packaged agents lie (`linux-x64/manifest.json` and so on); they may be missing until a node needs one. */
  agentFolder: string;
  /** How long the agents' port waits for a peer. */
  patience?: Patience;
}

/** Milliseconds after which the agents' port gives a peer up. */
export interface Patience {
  /** From the upgrade to Hello (kk.proto). */
  helloMs: number;
  /** For a whole request, its headers and its TLS handshake included. */
  requestMs: number;
}

export const PATIENCE: Patience = { helloMs: 10_000, requestMs: 30_000 };

/** What `serve` has of its process. */
export interface ServeIo {
  /** For ssh: PATH, SSH_AUTH_SOCK. */
  environment: Readonly<Record<string, string | undefined>>;
  /** For the log: one line each. */
  log: NodeJS.WritableStream;
  /** Aborts when the process is asked to stop (TERM, Ctrl-C). */
  stop: AbortSignal;
  /** Wall clock, epoch milliseconds: certificates and records go by it. Default: the machine's. */
  nowMs?: () => number;
}

/** The store. */
export function databasePath(stateFolder: string): string {
  return join(stateFolder, 'controller.db');
}

/** The operator API's unix socket. */
export function socketPath(stateFolder: string): string {
  return join(stateFolder, 'operator.sock');
}

/** Where a controller started by `apply` writes its log. */
export function logPath(stateFolder: string): string {
  return join(stateFolder, 'controller.log');
}
