/**
 * The messages of kk.proto in our own words: a union tagged by `kind`, with every field present (proto3 defaults filled).
 * kk.proto says what each promises; a test holds the two against each other.
 */

export interface Generation {
  value: number;
  mac: Uint8Array;
}

export interface RunHeld {
  run: string;
  revision: number;
  gates: string[];
  permits: number[];
}

/** The agent has opened its journal when the last message in it was `after`. */
export interface Life {
  id: string;
  after: number;
}

export interface Hello {
  level: number;
  capabilities: string[];
  version: string;
  machine_id: string;
  boot_id: string;
  journal_id: string;
  last_sequence: number;
  generation: Generation;
  runs: RunHeld[];
  purpose: 'PURPOSE_WORK' | 'PURPOSE_RENEW';
  now_ms: number;
  arch: string;
  blobs: string[];
  lives: Life[];
}

export interface Welcome {
  level: number;
  generation: Generation;
  heartbeat_ms: number;
  lease_ms: number;
  reconnect_cap_ms: number;
  log_credit: number;
  frame_limit: number;
  bundle_pem: string;
  bundle_version: number;
  endpoints: string[];
  now_ms: number;
  fleet_id: string;
  name: string;
}

export interface Push {
  run: string;
  revision: number;
  share: Uint8Array;
  share_sha256: string;
  common_sha256: string;
  common: Uint8Array;
  lease_ms: number;
}

export interface OpenGate {
  run: string;
  revision: number;
  gate: string;
  values: Uint8Array;
}

export interface CloseGate {
  run: string;
  revision: number;
  gate: string;
  cause: string;
}

/** Names a step of a run: used by both permit messages. */
export interface StepRef {
  run: string;
  revision: number;
  task: number;
}

export interface Begun extends StepRef {
  attempt: number;
  items: number;
  at_ms: number;
}

export type WireOutcome =
  | 'OUTCOME_OK'
  | 'OUTCOME_SKIPPED'
  | 'OUTCOME_FAILED'
  | 'OUTCOME_INTERRUPTED'
  | 'OUTCOME_CANCELLED';

export interface Ended extends StepRef {
  outcome: WireOutcome | 'OUTCOME_UNSPECIFIED';
  result: Uint8Array;
  at_ms: number;
  duration_ms: number;
}

export interface Blocked {
  run: string;
  revision: number;
  tasks: number[];
  cause: string;
  at_ms: number;
  cancelled: boolean;
}

export interface LogChunk {
  run: string;
  task: number;
  item: number;
  stream: 'STREAM_STDOUT' | 'STREAM_STDERR';
  offset: number;
  data: Uint8Array;
  at_ms: number;
  attempt: number;
}

export interface Upgrade {
  id: string;
  release: string;
  gz_sha256: string;
  gz_size: number;
  binary_sha256: string;
  binary_size: number;
  limit_ms: number;
}

export type InstallState =
  | 'INSTALL_STATE_UNSPECIFIED'
  | 'INSTALL_STATE_FETCHING'
  | 'INSTALL_STATE_SWITCHING'
  | 'INSTALL_STATE_DONE'
  | 'INSTALL_STATE_RETURNED'
  | 'INSTALL_STATE_REFUSED'
  | 'INSTALL_STATE_LEAVING';

export interface Installation {
  release: string;
  id: string;
  state: InstallState;
  error: Uint8Array;
}

export interface ShellOpen {
  shell: number;
  user: string;
  argv: string[];
  term: string;
  columns: number;
  rows: number;
  credit: number;
  now: boolean;
}

/** So many bytes more of a shell's input (to the controller) or output (to the agent) may be sent. */
export interface ShellCredit {
  shell: number;
  bytes: number;
}

/** kind -> message, agent to controller. */
export interface ToControllerBodies {
  hello: Hello;
  heartbeat: { id: number; running: number };
  accepted: { run: string; revision: number };
  refused: { run: string; revision: number; error: Uint8Array };
  begun: Begun;
  ended: Ended;
  blocked: Blocked;
  facts: { run: string; version: number; facts: Uint8Array };
  permit_wanted: StepRef;
  log_chunk: LogChunk;
  renew_request: { csr_pem: string };
  blob_wanted: { sha256: string; offset: number };
  shell_opened: { shell: number; credit: number };
  shell_output: { shell: number; data: Uint8Array };
  shell_credit: ShellCredit;
  shell_ended: { shell: number; code: number; signal: number; error: Uint8Array };
  installation: Installation;
}

/** kind -> message, controller to agent. */
export interface ToAgentBodies {
  welcome: Welcome;
  heartbeat_answer: { id: number };
  push: Push;
  open_gate: OpenGate;
  close_gate: CloseGate;
  permit: StepRef;
  hold: { run: string; reason: string };
  resume: { run: string };
  cancel: { run: string; grace_ms: number; force: boolean };
  log_credit: { bytes: number };
  renewed: { certificate_pem: string; bundle_pem: string; error: Uint8Array };
  closing: { code: string; message: string; remedy: string; final: boolean };
  forget: { run: string };
  blob_part: { sha256: string; offset: number; data: Uint8Array; total: number };
  shell_open: ShellOpen;
  shell_input: { shell: number; data: Uint8Array };
  shell_resize: { shell: number; columns: number; rows: number };
  shell_credit: ShellCredit;
  shell_close: { shell: number };
  upgrade: Upgrade;
  uninstall: { id: string };
}

type Tagged<Bodies> = { [K in keyof Bodies]: { kind: K; value: Bodies[K] } }[keyof Bodies];

/** `kind` and `value` of one message from an agent. */
export type FromAgent = Tagged<ToControllerBodies>;
/** `kind` and `value` of one message to an agent. */
export type ForAgent = Tagged<ToAgentBodies>;

/** The kinds that are numbered, kept on the node until acknowledged, and stored before they are acted on. */
export const DURABLE_KINDS = ['accepted', 'refused', 'begun', 'ended', 'blocked', 'facts'] as const;
export type DurableKind = (typeof DURABLE_KINDS)[number];
/** A durable message: what an agent's journal sends, what a run's event log stores. */
export type DurableMessage = Extract<FromAgent, { kind: DurableKind }>;

export function isDurable(message: FromAgent): message is DurableMessage {
  return (DURABLE_KINDS as readonly string[]).includes(message.kind);
}

/** A frame from an agent: `sequence` 0 for what is not durable; `after` 0 unless numbers are skipped. */
export type ToController = { sequence: number; after: number } & FromAgent;
/** A frame for an agent; a frame may carry nothing but an ack. */
export type ToAgent = { ack: number } & (ForAgent | { kind: 'none' });
