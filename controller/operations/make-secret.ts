import { secretMake } from '../../shared/actions/secret-make.ts';
import { KkError } from '../../shared/errors.ts';
import type { Random } from '../pki/certs.ts';
import type { LocalActions } from '../run/local/local-action.ts';
import type { Secrets } from '../store/secrets.ts';

type Kind = 'bootstrap_token' | 'certificate_key' | 'password';

const LOWER = 'abcdefghijklmnopqrstuvwxyz0123456789';
const LETTERS = `${LOWER}ABCDEFGHIJKLMNOPQRSTUVWXYZ`;
/** 190 bits of a password, in what no configuration file or shell takes for syntax. */
const PASSWORD = 32;

/** A new value. Tokens as kubeadm wants them; the certificate key is one of AES-256, in hex. */
function newSecret(kind: Kind, random: Random): string {
  switch (kind) {
    case 'bootstrap_token':
      return `${picked(LOWER, 6, random)}.${picked(LOWER, 16, random)}`;
    case 'certificate_key':
      return Buffer.from(random(32)).toString('hex');
    case 'password':
      return picked(LETTERS, PASSWORD, random);
  }
}

/** Each character as likely as the others: bytes past the last whole round of the alphabet are thrown away. */
function picked(alphabet: string, length: number, random: Random): string {
  const most = 256 - (256 % alphabet.length);
  let text = '';
  while (text.length < length)
    for (const byte of random(length))
      if (byte < most && text.length < length) text += alphabet[byte % alphabet.length];
  return text;
}

/** `secret.make`: makes what is not there. Its output holds no value. Throws KkError SECRET_KIND. */
export function makeSecret({ secrets, random }: { secrets: Secrets; random: Random }): LocalActions['secret.make'] {
  return {
    async act({ run, plan, task, inputs }) {
      const { name, kind, keep } = secretMake.input.parse(inputs);
      const of = keep === 'run' ? run : '';
      const isNew = await secrets.add({ plan, name, run: of, kind, madeBy: { run, task } }, newSecret(kind, random));
      const found = isNew ? undefined : await secrets.find(plan, name, of);
      if (found !== undefined && found.kind !== kind) throw otherKind(name, found.kind, kind);
      // One that ends with its run changes nothing that lasts: a second apply is without changes.
      return { changed: isNew && keep === 'plan', output: { name } };
    },
    async check({ run, plan, inputs }) {
      const { name, keep } = secretMake.input.parse(inputs);
      const found = keep === 'run' ? undefined : await secrets.find(plan, name, run);
      return { changed: found === undefined };
    },
    async undo({ run, plan, task }) {
      const gone = await secrets.removeMadeBy(plan, { run, task });
      return { restored: gone.map((name) => `the secret ${name} is deleted`), left: [] };
    },
  };
}

function otherKind(name: string, there: string, wanted: string): KkError {
  return new KkError({
    code: 'SECRET_KIND',
    message: `The secret "${name}" of this plan is a ${there}, and the task wants a ${wanted}.`,
    remedy: 'Give it another name, or roll back the run that made it.',
  });
}
