/**
 * How fast a fleet of `nodes` agents may talk: heartbeats at most about 50 a second in all (Nomad's law: max(10 s, N/50)),
 * reconnects spread over max(5 s, N/100 s) (ENGINE 4.10). Milliseconds.
 */
export function paceFor(nodes: number): { heartbeatMs: number; reconnectCapMs: number } {
  return { heartbeatMs: Math.max(5_000, nodes * 20), reconnectCapMs: Math.max(5_000, nodes * 10) };
}
