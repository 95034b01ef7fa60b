import { observing } from './observing.ts';

export const debugExecutor = observing<'debug'>(({ message }, context) => {
  const text = typeof message === 'string' ? message : JSON.stringify(message, undefined, 2);
  context.log('stdout', 0, Buffer.from(`${text}\n`));
  return { message };
});
