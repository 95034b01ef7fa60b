import { KkError } from '../../shared/errors.ts';
import { ptyMissing } from '../pty/native.ts';
import type { Status } from './command-folder.ts';

/** Why a command could not be begun at all. */
export function unfit({ code, message }: NonNullable<Status['error']>): KkError {
  switch (code) {
    case 'not-found':
      return new KkError({
        code: 'COMMAND_NOT_FOUND',
        message: `There is no program ${message} on this node.`,
        remedy: 'Install it in an earlier task, or give its whole path.',
      });
    case 'not-executable':
      return new KkError({
        code: 'COMMAND_NOT_EXECUTABLE',
        message: `${message} is there, but may not be executed.`,
        remedy: 'Give it mode 0755, or name the interpreter: argv: [sh, …].',
      });
    case 'no-folder':
      return new KkError({
        code: 'COMMAND_NO_SUCH_FOLDER',
        message: `The command's chdir ${message} is not a directory on this node.`,
        remedy: 'Make it with a directory task before, or correct chdir.',
      });
    case 'no-terminal':
      return ptyMissing(message);
    case 'spawn':
      return new KkError({
        code: 'COMMAND_NOT_STARTED',
        message: `The command could not be started: ${message}.`,
        remedy: 'Free what the message names (processes, memory, length of the arguments) and run again.',
      });
  }
}

/** Nobody can say how far the command came. */
export function interrupted(how: string): KkError {
  return new KkError({
    code: 'INTERRUPTED',
    message: `The command was interrupted: ${how}. How far it came is not known.`,
    remedy:
      'Look at the node; give the task creates, unless or on_interrupt: rerun if it may run twice, and run the plan again.',
  });
}

export function wrapperFailed(argv: readonly string[], how: string): KkError {
  return new KkError({
    code: 'COMMAND_WRAPPER_FAILED',
    message: `The agent could not start the process that runs commands: ${how}.`,
    remedy: 'See whether the disk of /var/lib/kk-agent is full and whether the agent is installed whole.',
    evidence: argv.join(' '),
  });
}
