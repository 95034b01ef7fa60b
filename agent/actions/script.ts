import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { ActionInput } from '../../shared/actions/index.ts';
import { fileName } from '../../shared/actions/script.ts';
import type { HostFiles } from '../host/host.ts';
import { commandExecutor } from './command.ts';
import type { ActionContext, ActionExecutor } from './executor.ts';
import { wantedContent } from './wanted-content.ts';

type Input = ActionInput<'script'>;

/** `#!` and what the kernel makes of the rest (execve(2)): an interpreter, and one argument at most. */
const FIRST_LINE = /^#![ \t]*(\S+)(?:[ \t]+(\S.*?))?[ \t\r]*(?:\n|$)/;

/** What stands before the script's path. */
function interpreterOf({ interpreter }: Input, text: string): [string, ...string[]] {
  if (typeof interpreter === 'string') return [interpreter];
  if (interpreter !== undefined) {
    const [program, ...args] = interpreter;
    return [String(program), ...args.map(String)];
  }
  const [, program, argument] = FIRST_LINE.exec(text) ?? [];
  if (program === undefined) return ['/bin/sh'];
  return argument === undefined ? [program] : [program, argument];
}

function textOf({ source, content }: Pick<Input, 'source' | 'content'>, context: ActionContext): string {
  return wantedContent({ source, content }, context)?.toString('utf8') ?? '';
}

/** The script as the command that it is, once it lies at `path`. */
function commandOf(input: Input, text: string, path: string): ActionInput<'command'> {
  const {
    source: _source,
    content: _content,
    beside: _beside,
    args = [],
    interpreter: _interpreter,
    ...around
  } = input;
  return { ...around, argv: [...interpreterOf(input, text), path, ...args] };
}

/** The same for the same attempt: a later life of the agent finds what it has to take away. */
const nameOf = (attempt: string): string => createHash('sha256').update(attempt).digest('hex').slice(0, 24);

/** Takes away the scripts of all attempts but these; the agent was killed before it could. */
export async function sweepScripts(files: HostFiles, folder: string, attempts: readonly string[]): Promise<void> {
  const kept = new Set(attempts.map(nameOf));
  for (const name of await files.list(folder)) if (!kept.has(name)) await files.remove(join(folder, name));
}

/**
 * `folder` is one that only root writes to and others may pass through, gone after a reboot: the script lies in a folder of its
 * own there, which nobody but the user who runs it can open, for as long as it runs.
 */
export function scriptExecutor(folder: string): ActionExecutor<'script'> {
  const placeOf = (input: Input, context: ActionContext): { own: string; path: string } => {
    const own = join(folder, nameOf(context.folder));
    return { own, path: join(own, fileName(input.source ?? 'script')) };
  };
  return {
    async inspect(input, context) {
      const text = textOf(input, context);
      return commandExecutor.inspect(commandOf(input, text, placeOf(input, context).path), context);
    },

    async apply(input, context) {
      const { files } = context.host;
      const { own, path } = placeOf(input, context);
      const text = textOf(input, context);
      const uid = input.user === undefined ? undefined : await files.uidOf(String(input.user));
      const owner = uid === undefined ? {} : { uid };
      try {
        await files.makeDirectory(folder, { mode: 0o711 });
        await files.makeDirectory(own, { mode: 0o700, ...owner });
        await files.writeAtomic(path, Buffer.from(text), { mode: 0o400, ...owner });
        for (const name of input.beside ?? [])
          await files.writeAtomic(join(own, fileName(name)), Buffer.from(textOf({ source: name }, context)), {
            mode: 0o400,
            ...owner,
          });
        return await commandExecutor.apply(commandOf(input, text, path), context);
      } finally {
        await files.remove(own);
      }
    },
  };
}
