import { KkError } from '../../shared/errors.ts';
import type { ProxyEnvironment, WebQuestion } from '../files/web.ts';
import type { ActionContext } from './executor.ts';

interface Stated {
  headers?: Record<string, string> | undefined;
  timeout_seconds: number;
  proxy?: string | undefined;
  ca_file?: string | undefined;
  insecure: boolean;
}

/** What the inputs say about asking, whatever is asked. Throws CA_FILE_MISSING. */
export async function questionOf(
  input: Stated,
  proxy: ProxyEnvironment,
  { host }: ActionContext,
): Promise<Omit<WebQuestion, 'url' | 'method' | 'body'>> {
  const ca = input.ca_file === undefined ? undefined : await host.files.read(input.ca_file);
  if (input.ca_file !== undefined && ca === undefined) {
    throw new KkError({
      code: 'CA_FILE_MISSING',
      message: `There is no ca_file ${input.ca_file} on this node.`,
      remedy: 'Put it there in an earlier task, or correct the path.',
    });
  }
  const stated = input.proxy === 'none' ? {} : { HTTP_PROXY: input.proxy ?? '', HTTPS_PROXY: input.proxy ?? '' };
  return {
    headers: input.headers ?? {},
    silentMs: input.timeout_seconds * 1000,
    proxy: input.proxy === undefined ? proxy : stated,
    ...(ca === undefined ? {} : { ca }),
    insecure: input.insecure,
  };
}
