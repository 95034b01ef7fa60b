import { createPrivateKey, createPublicKey } from 'node:crypto';
import { JOIN_PENDING } from '../../shared/enrolment.ts';
import { KkError } from '../../shared/errors.ts';
import { enrol, type JoinInput } from './enrol.ts';
import type { Identity } from './identity-store.ts';
import { publicKeyFingerprint } from './keys.ts';

/** A person is asked to approve: the first looks are close together, for that person may sit right there. */
const FIRST_LOOK_MS = 2_000;
const LONGEST_LOOK_MS = 30_000;

export interface Patience {
  /** Tells the person in front of the machine what is waited for. */
  say: (line: string) => void;
  sleep: (ms: number) => Promise<void>;
  /** Uniform in [0, 1): many machines that wait shall not ask in step. */
  random: () => number;
}

/**
 * Joins as `enrol` does, and where a person has to approve it, waits and asks again until that has been decided: with the same
 * key, also when the controller is away in between. Whoever interrupts it and runs the line again goes on waiting. Throws
 * what `enrol` throws, JOIN_REJECTED and JOIN_EXPIRED among it.
 */
export async function joinPatiently(input: JoinInput, { say, sleep, random }: Patience): Promise<Identity> {
  let told = false;
  for (let pause = FIRST_LOOK_MS; ; pause = Math.min(LONGEST_LOOK_MS, pause * 1.5)) {
    try {
      return await enrol(input);
    } catch (thrown) {
      const code = thrown instanceof KkError ? thrown.code : '';
      const isAway = code === 'CONTROLLER_UNREACHABLE' || code === 'ENROL_FAILED';
      if (code !== JOIN_PENDING && !(told && isAway)) throw thrown;
      if (!told) {
        const key = createPublicKey(createPrivateKey(await input.store.joiningKey(input.token.trim(), input.name)));
        say(`waiting for approval. On the controller: kk-controller nodes approve ${input.name}`);
        say(`the key of this machine is ${publicKeyFingerprint(key)}; it must be the same there`);
        told = true;
      }
      await sleep(pause * (0.5 + random() / 2));
    }
  }
}
