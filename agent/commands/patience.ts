import { setTimeout } from 'node:timers/promises';
import type { Patience } from '../identity/join-patiently.ts';

/** In front of a person, in the words of the join script. */
export const patienceOfPerson: Patience = {
  say: (line) => process.stderr.write(`kk: ${line}\n`),
  sleep: (ms) => setTimeout(ms),
  random: Math.random,
};
