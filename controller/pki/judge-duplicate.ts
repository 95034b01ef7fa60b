import { KkError } from '../../shared/errors.ts';

/** A machine as Hello describes it. */
export interface Machine {
  machineId: string;
  bootId: string;
}

/** What is known about the machines that used one node's certificate. */
export interface Sightings {
  /** The machine of the session that is alive now, if any. */
  live?: Machine;
  /** Boot ids in the order they were first seen, the newest last. */
  boots: readonly string[];
}

/**
 * One certificate, two machines? (ENGINE 4.4.) A copied disk shows as another machine id while the first lives, or as
 * an earlier boot id that returns after a newer one: a machine never goes back to an old boot. `duplicate` = hold both
 * and close the newcomer; `welcome` = take it, and the newest session of the same machine wins.
 */
export function judgeDuplicate(seen: Sightings, comer: Machine): 'welcome' | 'duplicate' {
  if (seen.live !== undefined && seen.live.machineId !== comer.machineId) return 'duplicate';
  const at = seen.boots.indexOf(comer.bootId);
  return at >= 0 && at < seen.boots.length - 1 ? 'duplicate' : 'welcome';
}

/** The error of both sides of a duplicate. */
export function duplicateIdentity(name: string, machines: readonly Machine[]): KkError {
  return new KkError({
    code: 'DUPLICATE_IDENTITY',
    message: `Two machines use the certificate of node ${name}; both are held.`,
    remedy: `Remove the agent's identity on the copy and give it a machine-id of its own; join it under another name. If the first machine is gone for good, run on this one the line of \`kk-controller join-command --replace ${name}\`.`,
    evidence: machines.map((m) => `machine ${m.machineId} boot ${m.bootId}`).join('\n'),
    node: name,
  });
}
