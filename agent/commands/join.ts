import { KkError } from '../../shared/errors.ts';
import { selfOf } from '../agent.ts';
import { VERSION } from '../config/version.ts';
import { IdentityStore } from '../identity/identity-store.ts';
import { joinPatiently } from '../identity/join-patiently.ts';
import { machineWord } from '../identity/machine-word.ts';
import { statePaths } from '../state-folder.ts';
import { patienceOfPerson } from './patience.ts';
import { tokenFromStdin } from './token.ts';

/** Gets an identity at the first endpoint that is there. Throws what `enrol` throws. */
export async function join({
  state,
  endpoint: endpoints,
  name,
}: {
  state: string;
  endpoint: string[];
  name: string;
}): Promise<void> {
  const token = await tokenFromStdin();
  const { machineId, bootId } = await selfOf(VERSION);
  const store = new IdentityStore(statePaths(state).identity);
  let away: unknown;
  for (const endpoint of endpoints) {
    try {
      const facts = { machineId, bootId, machine: await machineWord(VERSION) };
      const input = { endpoint, token, name, facts, store, clock: Date.now };
      const identity = await joinPatiently(input, patienceOfPerson);
      process.stdout.write(`joined as ${identity.name}\n`);
      return;
    } catch (thrown) {
      // A refusal is final: every endpoint is the same controller.
      if (!(thrown instanceof KkError) || thrown.code !== 'CONTROLLER_UNREACHABLE') throw thrown;
      away ??= thrown;
    }
  }
  throw away;
}
