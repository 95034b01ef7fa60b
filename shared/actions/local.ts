import { blobFetch } from './blob-fetch.ts';
import { confirm } from './confirm.ts';
import { kubeconfigKeep } from './kubeconfig-keep.ts';
import { pkiIssue } from './pki-issue.ts';
import { secretMake } from './secret-make.ts';

/** What the controller itself can do in a run, `on: controller`: all of it (ENGINE 1.7). Agents know none of these. */
export const LOCAL_ACTIONS = {
  'blob.fetch': blobFetch,
  confirm,
  'kubeconfig.keep': kubeconfigKeep,
  'pki.issue': pkiIssue,
  'secret.make': secretMake,
} as const;

export type LocalActionKind = keyof typeof LOCAL_ACTIONS;

export function isLocalAction(word: string): word is LocalActionKind {
  return Object.hasOwn(LOCAL_ACTIONS, word);
}
