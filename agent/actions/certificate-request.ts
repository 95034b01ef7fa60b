import { createPrivateKey, type KeyObject } from 'node:crypto';
import type { ActionInput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import { isP256, keyPemOf, makeKey, requestOf } from '../identity/keys.ts';
import { wantedAttributes } from './attributes.ts';
import { describedDiff } from './content-diff.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { carryOutFile, type FilePlan, onlyRegular, planFile } from './regular-file.ts';
import { onPath } from './system-errors.ts';

type Input = ActionInput<'certificate_request'>;

/** What is left to do about the key; undefined: there is none. */
async function look(input: Input, { host }: ActionContext): Promise<{ key: KeyObject; plan: FilePlan } | undefined> {
  const { key: path } = input;
  const stat = await host.files.stat(path);
  onlyRegular(path, stat);
  const content = stat === undefined ? undefined : await host.files.read(path);
  if (stat === undefined || content === undefined) return undefined;
  const attributes = await wantedAttributes(input, host);
  return { key: readKey(path, content), plan: planFile(path, { stat, content }, undefined, attributes) };
}

/** Throws KkError KEY_UNFIT, which quotes nothing of the file. */
function readKey(path: string, content: Buffer): KeyObject {
  let key: KeyObject | undefined;
  try {
    key = createPrivateKey(content);
  } catch {
    // What OpenSSL says of it helps nobody, and might quote it.
  }
  if (key !== undefined && isP256(key)) return key;
  throw new KkError({
    code: 'KEY_UNFIT',
    message: `${path} is there, but is ${key === undefined ? 'no private key in PEM' : `a key of another kind (${key.asymmetricKeyType}) than ECDSA P-256`}.`,
    remedy: 'See whose it is. If it may go, remove it on the node and run again; else name another path.',
  });
}

async function outputOf({ key: path, subject, sans }: Input, key: KeyObject) {
  return { key: path, csr: await requestOf(key, subject, sans) };
}

export const certificateRequestExecutor: ActionExecutor<'certificate_request'> = {
  inspect: (input, context) =>
    onPath(input.key, async () => {
      const found = await look(input, context);
      if (found === undefined)
        return { already: false, diffs: [describedDiff(input.key, undefined, 'a new private key')] };
      const output = await outputOf(input, found.key);
      if (found.plan.todo === 'nothing') return { already: true, output };
      return { already: false, diffs: found.plan.diffs, foreseen: output };
    }),

  apply: (input, context) =>
    onPath(input.key, async () => {
      const found = (await look(input, context)) ?? (await made(input, context));
      const { changed = true, diffs = [] } = await carryOutFile(input.key, found.plan, context);
      return { output: await outputOf(input, found.key), changed, diffs };
    }),
};

async function made(input: Input, { host }: ActionContext): Promise<{ key: KeyObject; plan: FilePlan }> {
  const key = makeKey();
  const attributes = await wantedAttributes(input, host);
  const diffs = [describedDiff(input.key, undefined, 'a new private key')];
  return { key, plan: { todo: 'write', content: Buffer.from(keyPemOf(key)), attributes, diffs } };
}
