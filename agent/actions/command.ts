import { join } from 'node:path';
import type { ActionInput, ActionOutput } from '../../shared/actions/index.ts';
import { type ErrorReport, KkError } from '../../shared/errors.ts';
import type { CommandResult, CommandSpec } from '../host/host.ts';
import { capturedText, lastLines, NOTHING } from './captured.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { knownFailure } from './known-failure.ts';

type Input = ActionInput<'command'>;
type Output = ActionOutput<'command'>;

const EVIDENCE_LINES = 20;

function argvOf(what: NonNullable<Input['unless']>): [string, ...string[]] {
  if (typeof what === 'string') return ['/bin/sh', '-c', what];
  const [program, ...args] = what;
  return [String(program), ...args.map(String)];
}

function environment(input: Input): Record<string, string> {
  return Object.fromEntries(Object.entries(input.env ?? {}).map(([name, value]) => [name, String(value)]));
}

function specOf(input: Input, context: ActionContext): CommandSpec {
  return {
    argv: argvOf(input.argv ?? input.shell ?? ''),
    env: environment(input),
    ...(input.chdir === undefined ? {} : { cwd: input.chdir }),
    ...(input.user === undefined ? {} : { user: String(input.user) }),
    ...(input.stdin === undefined ? {} : { stdin: input.stdin }),
    ...(input.tty === true ? { terminal: { columns: input.columns ?? 80, rows: input.rows ?? 24 } } : {}),
    timeoutMs: context.timeoutMs ?? 0,
    graceMs: input.grace_seconds * 1000,
  };
}

const NOT_STARTED: Output = { stdout: NOTHING, stderr: NOTHING, duration_ms: 0, started: false };

/** Do `creates` or `unless` say that nothing is to do? */
async function isDone(input: Input, { host, signal, timeoutMs }: ActionContext): Promise<boolean> {
  if (input.creates !== undefined && (await host.files.stat(input.creates)) !== undefined) return true;
  if (input.unless === undefined) return false;
  const { code } = await host.run(argvOf(input.unless), {
    env: environment(input),
    ...(input.chdir === undefined ? {} : { cwd: input.chdir }),
    ...(input.user === undefined ? {} : { user: String(input.user) }),
    ...(timeoutMs ? { timeoutMs } : {}),
    signal,
  });
  return code === 0;
}

function outputOf(result: CommandResult): Output {
  return {
    ...(result.code === undefined ? {} : { code: result.code }),
    ...(result.signal === undefined ? {} : { signal: result.signal }),
    stdout: capturedText(result.stdout),
    stderr: capturedText(result.stderr),
    duration_ms: result.durationMs,
    started: true,
  };
}

/** Of an ended command: its output, also when it failed or was cancelled; a timeout is an error whatever it printed. */
function judged(result: CommandResult, { remedies }: Input, { sensitive }: ActionContext): Output {
  const output = outputOf(result);
  if (result.code === 0 && !result.timedOut) return output;
  // One that is a text was replaced by what the file says when the plan was read.
  const known = Array.isArray(remedies) ? knownFailure(remedies, printedBy(output), sensitive === true) : undefined;
  if (!result.timedOut) return known === undefined ? output : { ...output, known };
  throw new KkError({
    code: 'COMMAND_TIMEOUT',
    message: `The command did not end within its timeout and was stopped after ${Math.round(result.durationMs / 1000)} s${because(known)}`,
    remedy: known?.remedy ?? 'See its output for where it hung; raise the timeout of the task if it only needs longer.',
    evidence: evidenceOf(output),
  });
}

/** All that is known of what it said: errors last, for a script that tells them itself. */
function printedBy({ stdout, stderr }: Output): string {
  return `${stdout.head}${stdout.tail}\n${stderr.head}${stderr.tail}`;
}

function because(known: Output['known']): string {
  return known === undefined ? '.' : `: ${known.cause}`;
}

function evidenceOf(output: Output): string {
  const stream = output.stderr.bytes > 0 ? output.stderr : output.stdout;
  return lastLines(stream, EVIDENCE_LINES);
}

/** The rule for a task without failed_when: a command fails by a status other than 0, or by a signal. */
export function commandFailure(output: ActionOutput<'command'>): ErrorReport | undefined {
  if (!output.started || output.code === 0) return undefined;
  const how = output.signal === undefined ? `exited with ${output.code}` : `was ended by ${output.signal}`;
  return {
    code: 'COMMAND_FAILED',
    message: `The command ${how}${because(output.known)}`,
    remedy:
      output.known?.remedy ??
      'See its output for the reason and mend it on the node; if this exit means success, say so with failed_when.',
    evidence: evidenceOf(output),
  };
}

/** Each try of this attempt has a folder of its own: one that was found never-started cannot be used again. */
async function tries(context: ActionContext): Promise<string[]> {
  const names = await context.host.files.list(context.folder);
  return names.filter((name) => /^command-\d+$/.test(name)).sort((a, b) => Number(a.slice(8)) - Number(b.slice(8)));
}

async function start(input: Input, context: ActionContext): Promise<{ output: Output }> {
  const folder = join(context.folder, `command-${(await tries(context)).length + 1}`);
  const { signal, log } = context;
  context.starting();
  const result = await context.host.commands.start(folder, specOf(input, context), { onOutput: log, signal });
  // It never ran: there is nothing that `failed_when` could take for success.
  if (result.code === undefined && result.signal === undefined) signal.throwIfAborted();
  return { output: judged(result, input, context) };
}

/** Takes up what an earlier life of the agent began; undefined: it can and must be started now. */
async function takeUp(input: Input, context: ActionContext, bootId: string): Promise<Output | undefined> {
  const folder = join(context.folder, (await tries(context)).at(-1) ?? 'command-1');
  const { signal, log } = context;
  const found = await context.host.commands.recover(folder, bootId, { onOutput: log, signal });
  switch (found.state) {
    case 'running':
      return judged(await found.result, input, context);
    case 'ended':
      return judged(found.result, input, context);
    case 'never-started':
      return undefined;
    case 'lost':
      if (input.creates === undefined && input.unless === undefined) {
        throw new KkError({
          code: 'INTERRUPTED',
          message: 'The command was interrupted with its node, and how far it came is not known.',
          remedy:
            'See on the node how far it came; give the task creates, unless or on_interrupt: rerun if it may run again.',
        });
      }
      return (await isDone(input, context)) ? NOT_STARTED : undefined;
  }
}

export const commandExecutor: ActionExecutor<'command'> = {
  async inspect(input, context) {
    // What `creates` names may be there because the command is half done: first apply takes it up.
    if (context.recovering !== undefined) return { already: false };
    return (await isDone(input, context)) ? { already: true, output: NOT_STARTED } : { already: false };
  },

  async apply(input, context) {
    if (context.recovering !== undefined) {
      const output = await takeUp(input, context, context.recovering.bootId);
      if (output !== undefined) return { output, changed: output.started };
    }
    return start(input, context);
  },
};
