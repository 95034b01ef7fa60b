import { capabilities } from '../../shared/actions/index.ts';
import { PROTOCOL_LEVEL, SHELL_CAPABILITY } from '../../shared/protocol/level.ts';
import type { Hello } from '../../shared/protocol/messages.ts';
import type { Held } from './work.ts';

/** What stays the same as long as the agent runs. */
export interface Self {
  version: string;
  machineId: string;
  bootId: string;
  /** `process.arch`: x64, arm64. */
  arch: string;
}

const NOTHING_HELD: Held = {
  journalId: '',
  lastSequence: 0,
  generation: { value: 0, mac: new Uint8Array() },
  runs: [],
  blobs: [],
  lives: [],
};

/** The first message of a connection. A renewing one holds nothing: its journal may be open elsewhere. */
export function helloOf(self: Self, nowMs: number, held: Held | undefined): Hello {
  const { journalId, lastSequence, generation, runs, blobs, lives } = held ?? NOTHING_HELD;
  return {
    level: PROTOCOL_LEVEL,
    capabilities: [...capabilities(), SHELL_CAPABILITY],
    version: self.version,
    machine_id: self.machineId,
    boot_id: self.bootId,
    journal_id: journalId,
    last_sequence: lastSequence,
    generation,
    runs,
    purpose: held === undefined ? 'PURPOSE_RENEW' : 'PURPOSE_WORK',
    now_ms: nowMs,
    arch: self.arch,
    blobs,
    lives,
  };
}
