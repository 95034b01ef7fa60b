import { KkError } from '../../shared/errors.ts';
import { FRAME_LIMIT, OLDEST_LEVEL, PROTOCOL_LEVEL } from '../../shared/protocol/level.ts';
import type { Hello, Welcome } from '../../shared/protocol/messages.ts';
import { paceFor } from './pace.ts';
import type { GatewayParts } from './ports.ts';

/** Bytes of live output an agent may have under way. */
export const LOG_CREDIT = 256 * 1024;

/** The level both sides speak. Throws KkError PROTOCOL_LEVEL when there is none. */
export function commonLevel(hello: Hello): number {
  const level = Math.min(hello.level, PROTOCOL_LEVEL);
  if (level >= OLDEST_LEVEL) return level;
  throw new KkError({
    code: 'PROTOCOL_LEVEL',
    message: `The agent (${hello.version}) speaks protocol level ${hello.level}; this controller needs ${OLDEST_LEVEL} at least.`,
    remedy: 'Install the agent of this controller: run the line of `kk-controller join-command` on the node.',
  });
}

export function welcomeFor(parts: GatewayParts, node: string, hello: Hello): Welcome {
  const pace = paceFor(parts.fleetSize());
  return {
    level: commonLevel(hello),
    generation: { value: parts.generation, mac: parts.authority.generationMac(parts.generation) },
    heartbeat_ms: pace.heartbeatMs,
    lease_ms: parts.leaseMs,
    reconnect_cap_ms: pace.reconnectCapMs,
    log_credit: LOG_CREDIT,
    frame_limit: FRAME_LIMIT,
    bundle_pem: parts.authority.bundlePem(),
    bundle_version: parts.authority.bundleVersion,
    endpoints: [...parts.endpoints()],
    now_ms: parts.clock.nowMs(),
    fleet_id: parts.authority.fleetId,
    name: node,
  };
}
