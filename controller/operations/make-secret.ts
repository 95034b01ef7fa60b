import { secretMake } from '../../shared/actions/secret-make.ts';
import { isSystemError, KkError } from '../../shared/errors.ts';
import type { Random } from '../pki/certs.ts';
import type { LocalActions } from '../run/local/local-action.ts';
import type { Secrets } from '../store/secrets.ts';

type Kind = 'bootstrap_token' | 'certificate_key' | 'password';

/** Bytes of a line that is secret. */
const MAX_LINE = 4096;

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

export interface MakeSecretParts {
  secrets: Secrets;
  random: Random;
  /** A file on this machine. */
  readFile(path: string): Promise<Buffer>;
}

/** `secret.make`: makes what is not there. Its output holds no value. Throws KkError SECRET_KIND, SECRET_FILE. */
export function makeSecret({ secrets, random, readFile }: MakeSecretParts): LocalActions['secret.make'] {
  return {
    async act({ run, plan, task, inputs }) {
      const { name, kind, keep, files = {} } = secretMake.input.parse(inputs);
      const of = keep === 'run' ? run : '';
      const value = kind === 'files' ? await linesOf(files, readFile) : newSecret(kind, random);
      const isNew = await secrets.add({ plan, name, run: of, kind, madeBy: { run, task } }, value);
      const found = isNew ? undefined : await secrets.find(plan, name, of);
      if (found !== undefined && found.kind !== kind) throw otherKind(name, found.kind, kind);
      if (kind === 'files' && found !== undefined && found.value !== value) throw otherLines(files);
      // One that ends with its run changes nothing that lasts: a second apply is without changes.
      return { changed: isNew && keep === 'plan', output: { name } };
    },
    async check({ run, plan, inputs }) {
      const { name, keep, files = {} } = secretMake.input.parse(inputs);
      await linesOf(files, readFile);
      return { changed: keep === 'plan' && (await secrets.find(plan, name, run)) === undefined };
    },
    async undo({ run, plan, task }) {
      const gone = await secrets.removeMadeBy(plan, { run, task });
      return { restored: gone.map((name) => `the secret ${name} is deleted`), left: [] };
    },
  };
}

/** Each file's line, by its name, as JSON. Throws KkError SECRET_FILE. */
async function linesOf(files: Record<string, string>, readFile: MakeSecretParts['readFile']): Promise<string> {
  const lines: [string, string][] = [];
  for (const [name, path] of Object.entries(files)) {
    const text = await readFile(path).catch((thrown: unknown) => {
      throw badFile(name, path, isSystemError(thrown, 'ENOENT') ? 'is not there' : 'cannot be read', thrown);
    });
    const line = text.toString('latin1').replace(/\r?\n$/, '');
    if (line === '') throw badFile(name, path, 'is empty');
    if (line.length > MAX_LINE || !/^[\x20-\x7e]*$/.test(line))
      throw badFile(name, path, `holds something else than one line of at most ${MAX_LINE} characters of ASCII`);
    lines.push([name, line]);
  }
  return JSON.stringify(Object.fromEntries(lines));
}

function badFile(name: string, path: string, what: string, cause?: unknown): KkError {
  return new KkError({
    code: 'SECRET_FILE',
    message: `The file ${path}, which has the secret of ${name}, ${what}.`,
    remedy:
      "Put the one line there, on the controller's machine, for the user who runs the controller to read; then go on with `apply --resume`.",
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Nodes may have got what an earlier revision of the run has read, and are told of each secret once. */
function otherLines(files: Record<string, string>): KkError {
  return new KkError({
    code: 'SECRET_FILE',
    message: `This run has read other secrets than those that ${Object.values(files).join(', ')} have now; a run does not change its secrets.`,
    remedy: 'Apply again without --resume: a new run reads them anew.',
  });
}

function otherKind(name: string, there: string, wanted: string): KkError {
  return new KkError({
    code: 'SECRET_KIND',
    message: `The secret "${name}" of this plan is a ${there}, and the task wants a ${wanted}.`,
    remedy: 'Give it another name, or roll back the run that made it.',
  });
}
