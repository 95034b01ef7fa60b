import { KkError } from '../../shared/errors.ts';

/** What a person is told who asks something of a run that it is not in a state for. */

export function runUnknown(id: string): KkError {
  return new KkError({
    code: 'RUN_UNKNOWN',
    message: `There is no run "${id}".`,
    remedy: 'See `kk-controller runs` for the runs there are.',
  });
}

export function runNotActive(id: string): KkError {
  return new KkError({
    code: 'RUN_NOT_ACTIVE',
    message: `Run ${id} is not at work.`,
    remedy: `What has failed is tried again by \`kk-controller retry ${id}\`; see \`kk-controller runs\` for all.`,
  });
}

export function runQueued(id: string): KkError {
  return new KkError({
    code: 'RUN_QUEUED',
    message: `Run ${id} has not begun: it waits for another run.`,
    remedy: `Cancel it with \`kk-controller cancel ${id}\`, or pause the run that it waits for.`,
  });
}

export function runNotPaused(id: string, hasEnded: boolean): KkError {
  return new KkError({
    code: 'RUN_NOT_PAUSED',
    message: hasEnded ? `Run ${id} has ended; only a paused run is resumed so.` : `Run ${id} is not paused.`,
    remedy: hasEnded
      ? `Try what failed again with \`kk-controller retry ${id}\`, or go on with a mended plan: \`kk-controller apply --resume ${id} plan.yaml\`.`
      : `Watch it with \`kk-controller logs ${id} -f\`.`,
  });
}

export function runNotEnded(id: string): KkError {
  return new KkError({
    code: 'RUN_NOT_ENDED',
    message: `Run ${id} is still at work.`,
    remedy: `Wait for its end (\`kk-controller logs ${id} -f\`), or cancel it first.`,
  });
}

export function runNotResumable(id: string, why: string): KkError {
  return new KkError({
    code: 'RUN_NOT_RESUMABLE',
    message: `Run ${id} cannot be taken up again: ${why}.`,
    remedy: 'Start a new one: what is done stays done.',
  });
}

export function runSuperseded(
  id: string,
  by: { node: string; run: string; has: 'has started' | 'will start' },
): KkError {
  return new KkError({
    code: 'RUN_SUPERSEDED',
    message: `After run ${id}, run ${by.run} ${by.has} on ${by.node}.`,
    remedy: `Apply the plan as a new run: what is done stays done. What ${by.run} did: \`kk-controller logs ${by.run}\`.`,
    node: by.node,
  });
}

export function permitUnknown(id: string, name: string, held: readonly string[]): KkError {
  return new KkError({
    code: 'PERMIT_UNKNOWN',
    message: `No failed step of run ${id} keeps a permit "${name}".`,
    remedy:
      held.length > 0 ? `Kept are: ${held.join(', ')}.` : 'None is kept: steps that wait for one get it in their turn.',
  });
}
