import type { ActionInput } from '../../shared/actions/index.ts';
import { KkError } from '../../shared/errors.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { pause } from './pause.ts';
import { lookAtPort, lookAtUrl, type Sight } from './probes.ts';

type Input = ActionInput<'wait_for'>;

async function lookAtPath(path: string, { host }: ActionContext): Promise<Sight> {
  const present = await host.files.stat(path);
  return {
    there: present !== undefined,
    seen: present === undefined ? `${path} does not exist` : `${path} exists (${present.kind})`,
  };
}

async function look(input: Input, context: ActionContext): Promise<Sight> {
  if (input.path !== undefined) return lookAtPath(input.path, context);
  if (input.port !== undefined) return lookAtPort(input.host, input.port);
  const ca = input.ca_file === undefined ? undefined : await context.host.files.read(input.ca_file);
  if (input.ca_file !== undefined && ca === undefined)
    return { there: false, seen: `ca_file ${input.ca_file} does not exist` };
  return lookAtUrl(input.url ?? '', { insecure: input.insecure, ...(ca === undefined ? {} : { ca }) });
}

function asWanted(input: Input, { there }: Sight): boolean {
  return there === (input.state === 'present');
}

/** Until something may have changed; rejects with the signal's reason. */
function untilChanged(input: Input, ms: number, { host, signal }: ActionContext): Promise<void> {
  return input.path === undefined ? pause(ms, signal) : host.files.changed(input.path, { timeoutMs: ms, signal });
}

function timedOut(input: Input, sight: Sight): KkError {
  const what = input.path ?? input.url ?? `${input.host}:${input.port}`;
  return new KkError({
    code: 'WAIT_TIMEOUT',
    message: `Waited ${input.timeout_seconds} s for ${what} to be ${input.state}; last seen: ${sight.seen}.`,
    remedy:
      'See on the node why it takes so long (its service, its log); raise timeout_seconds if it only needs longer.',
  });
}

export const waitForExecutor: ActionExecutor<'wait_for'> = {
  async inspect(input, context) {
    const sight = await look(input, context);
    return asWanted(input, sight) ? { already: true, output: { waited_ms: 0, seen: sight.seen } } : { already: false };
  },

  async apply(input, context) {
    const begun = context.host.bootTimeMs();
    for (;;) {
      context.signal.throwIfAborted();
      const sight = await look(input, context);
      const waited = context.host.bootTimeMs() - begun;
      if (asWanted(input, sight)) return { output: { waited_ms: waited, seen: sight.seen }, changed: false };
      const left = input.timeout_seconds * 1000 - waited;
      if (left <= 0) throw timedOut(input, sight);
      await untilChanged(input, Math.min(left, input.interval_seconds * 1000), context);
    }
  },
};
