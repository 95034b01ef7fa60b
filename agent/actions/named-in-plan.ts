/** Files that travel with the plan, by the words of a task: for all actions that take some. */
import { type BlobRef, blobsOf, componentBlob } from '../../shared/blob.ts';
import { KkError } from '../../shared/errors.ts';
import { architectureOf } from '../facts/index.ts';
import type { ActionContext } from './executor.ts';

/** Of the inputs; one of both is given. */
interface Named {
  src?: string | undefined;
  component?: string | undefined;
}

/** What a task names by `src` or `component`. Throws SRC_UNKNOWN, COMPONENT_NOT_HERE. */
export function namedInPlan(
  { src = '', component }: Named,
  { blobs }: Pick<ActionContext, 'blobs'>,
): NonNullable<ReturnType<typeof blobsOf<BlobRef>>> {
  if (component !== undefined) return { file: componentFile(component, blobs) };
  const found = blobsOf(blobs, src);
  if (found !== undefined) return found;
  throw srcUnknown(src, blobs);
}

/** The same where it has to be one file. */
export function fileInPlan(input: Named, context: Pick<ActionContext, 'blobs'>): BlobRef {
  const found = namedInPlan(input, context);
  if ('file' in found) return found.file;
  throw srcUnknown(input.src ?? '', context.blobs);
}

/** The file of a component for this machine. Throws COMPONENT_NOT_HERE. */
function componentFile(component: string, blobs: Readonly<Record<string, BlobRef>>): BlobRef {
  const architecture = architectureOf();
  const found = blobs[componentBlob(component, architecture)];
  if (found !== undefined) return found;
  throw new KkError({
    code: 'COMPONENT_NOT_HERE',
    message: `The plan has no ${component} for ${architecture}, which this node is.`,
    remedy: `Add ${architecture} to download.arch of the configuration, or take the node out of the play.`,
    evidence: Object.keys(blobs).join('\n'),
  });
}

/** What a template gave is not there. */
function srcUnknown(src: string, blobs: Readonly<Record<string, BlobRef>>): KkError {
  const names = Object.keys(blobs);
  return new KkError({
    code: 'SRC_UNKNOWN',
    message: `The plan has no file or folder ${src} for this task.`,
    remedy: 'Put it into files/ of the role, or correct what the template gives; the evidence lists what is there.',
    evidence: names.slice(0, 50).join('\n'),
  });
}
