import { KkError } from '../../shared/errors.ts';
import type { Host } from '../host/host.ts';
import { LAYOUT, type Layout } from './layout.ts';
import { finishPlacing, linkCommand, placeExecutable } from './place-executable.ts';
import { enableUnits, type UnitTexts } from './units.ts';

/** What an installation works with. */
export interface InstallInput {
  /** Version of this agent. */
  version: string;
  /** Path of this agent's own executable: `process.execPath` of the package. */
  executable: string;
  units: UnitTexts;
  host: Pick<Host, 'files' | 'run'>;
  /** Effective user id. */
  uid: number;
  /** Whether the machine keeps the identity it has, or joins: {@link judgeKnown}. Throws KkError. */
  identity: () => Promise<'keep' | 'join'>;
  /** Where the controller may be, best first: `https://host:port`. */
  endpoints: readonly string[];
  /** The name to join under. */
  name: string;
  /** Joins the fleet at one endpoint and keeps the identity; throws KkError. The token is its own business. */
  join: (endpoint: string) => Promise<void>;
  /** Default {@link LAYOUT}. */
  layout?: Layout;
}

/** What an installation did, for a line to a person. */
export interface InstallReport {
  release: string;
  /** Name of the node. */
  name: string;
  /** False: it was a node already, the token was not used. */
  joined: boolean;
  /** False: this very release was in place with these units. */
  changed: boolean;
}

/**
 * Makes this machine a node: identity first (a refused token leaves no agent behind), then the
 * executable, then the units. Safe to repeat at any point; a machine that is a node keeps its identity. Throws KkError:
 * NOT_ROOT, ENDPOINT_MISSING, what `identity` and `join` throw, DISK_FULL, NOT_WRITABLE, SYSTEMD_FAILED.
 */
export async function installAgent(input: InstallInput): Promise<InstallReport> {
  const layout = input.layout ?? LAYOUT;
  if (input.uid !== 0) {
    throw new KkError({
      code: 'NOT_ROOT',
      message: 'Installing the agent needs root.',
      remedy: 'Run it again as root, for example with sudo.',
    });
  }
  const joins = (await input.identity()) === 'join';
  if (joins) await joinSomewhere(input);
  const placed = await placeExecutable(input.executable, input.version, layout.library);
  await linkCommand(layout.library, layout.commands);
  const written = await enableUnits(input.host, layout.units, input.units, placed.changed || joins);
  await finishPlacing(layout.library);
  return {
    release: placed.release,
    name: input.name,
    joined: joins,
    changed: placed.changed || written.length > 0,
  };
}

/** The endpoints in order, until one is there; a controller's refusal is final, for every endpoint is the same controller. */
async function joinSomewhere(input: InstallInput): Promise<void> {
  let away: KkError | undefined;
  for (const endpoint of input.endpoints) {
    try {
      await input.join(endpoint);
      return;
    } catch (error) {
      if (!(error instanceof KkError) || error.code !== 'CONTROLLER_UNREACHABLE') throw error;
      away ??= error;
    }
  }
  throw (
    away ??
    new KkError({
      code: 'ENDPOINT_MISSING',
      message: 'Nobody said where the controller is.',
      remedy: 'Give --endpoint https://host:port; `kk-controller join-command` prints a whole line.',
    })
  );
}
