import type { z } from 'zod';
import { blobFetch } from '../../shared/actions/blob-fetch.ts';
import { KkError } from '../../shared/errors.ts';
import type { Json } from '../../shared/share.ts';
import type { LocalAction, LocalActions, LocalWork } from '../run/local/local-action.ts';
import type { Downloads } from './downloads.ts';

type Output = z.infer<typeof blobFetch.output>;

/** `blob.fetch`: the files of a component for all architectures of the plan, at once. */
export function fetchComponent(downloads: Downloads): LocalActions['blob.fetch'] {
  return {
    act: act(downloads),
    async check({ inputs }) {
      const { files } = originOf(inputs);
      const there = await Promise.all(Object.values(files).map(({ sha256 }) => downloads.has(sha256)));
      return { changed: there.includes(false) };
    },
  };
}

function originOf(inputs: Json) {
  const { component, origins = {}, timeout = 0 } = blobFetch.input.parse(inputs);
  return { component, timeout, ...(origins[component] ?? { version: '', files: {} }) };
}

function act(downloads: Downloads): LocalAction {
  return async ({ inputs, signal, tell }) => {
    const { component, timeout, version, files } = originOf(inputs);
    const limit = timeout > 0 ? AbortSignal.timeout(timeout * 1000) : undefined;
    const ended = limit === undefined ? signal : AbortSignal.any([signal, limit]);
    let changed = false;
    const output: Output = { component, version, files: {} };
    const bring = async ([arch, { urls, sha256 }]: [string, { urls: string[]; sha256: string }]): Promise<void> => {
      const name = `${component} ${version} for ${arch}`;
      const brought = await downloads
        .bring({ name, component, sha256, urls, signal: ended, onBytes: meter(arch, tell) })
        .catch((thrown: unknown) => {
          throw limit?.aborted && !signal.aborted ? tooSlow(name, timeout) : thrown;
        });
      changed ||= brought.fetched;
      output.files[arch] = { sha256, bytes: brought.bytes };
    };
    await Promise.all(Object.entries(files).map(bring));
    return { changed, output };
  };
}

/** Between two of its messages, in bytes. */
const TOLD_EACH = 2 * 1024 * 1024;

/** Tells how far one file is: `amd64: 34 of 78 MB`. */
function meter(arch: string, tell: LocalWork['tell']): (done: number, total: number | undefined) => void {
  let told = 0;
  return (done, total) => {
    if (tell === undefined || done < told + TOLD_EACH) return;
    told = done;
    const [here, whole] = [done, total ?? 0].map((bytes) => Math.round(bytes / 1e6));
    tell(`${arch}: ${here}${total === undefined ? '' : ` of ${whole}`} MB`);
  };
}

function tooSlow(name: string, seconds: number): KkError {
  return new KkError({
    code: 'COMPONENT_UNREACHABLE',
    message: `${name} did not come within ${seconds} s.`,
    remedy:
      'Raise download.timeout, or set download.mirror to something nearer; then go on with `apply --resume`. What came already is not fetched again.',
  });
}
