import { z } from 'zod';
import { Captured } from '../share.ts';
import { defineAction } from './define-action.ts';
import { AbsolutePath, Account, given, Word } from './fields.ts';
import { Known, KnownFailure } from './known-failure.ts';

const Argv = z.tuple([Word], Word);

/** Side of a terminal: the kernel counts in 16 bits, and nobody looks at one of thousands. */
const Cells = z.int().min(1).max(1000);

/** What can be said of every program of a plan, whatever it is. */
export const aroundProgram = {
  /** Nothing to do when this path exists. */
  creates: AbsolutePath.optional(),
  /** Shell text or argv: nothing to do when it exits with 0. Must not change the node. */
  unless: z.union([z.string().min(1), Argv]).optional(),
  /** Added to a clean environment (PATH, HOME, USER, LOGNAME, LANG=C.UTF-8). */
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), Word).optional(),
  /** Who runs it; unstated: root, as the agent. */
  user: Account.optional(),
  /** Where it begins; unstated: `/`. */
  chdir: AbsolutePath.optional(),
  /** Not with `tty`, where nothing is typed and what reads finds the end of its input. */
  stdin: z.string().optional(),
  /**
   * Run it on a terminal of its own. All it prints is then `stdout`, as a terminal gets it (lines end in CR LF), TERM is
   * xterm unless `env` says another, and what it leaves running loses the terminal.
   */
  tty: z.boolean().optional(),
  /** Width of the terminal in characters; unstated: 80. */
  columns: Cells.optional(),
  /** Height of the terminal in lines; unstated: 24. */
  rows: Cells.optional(),
  /** After TERM (timeout, cancel) the process group has this long until KILL. */
  grace_seconds: z.number().min(0).max(3600).default(10),
  /**
   * Failures that are known, of which the first whose `match` (a regular expression) fits what was printed says `cause` and
   * `remedy` in the error; or a file with a list of them, relative to the one that names it.
   */
  remedies: z.union([z.string().min(1), z.array(KnownFailure).max(500)]).optional(),
};

interface OnTerminal {
  tty?: boolean | undefined;
  stdin?: string | undefined;
  columns?: number | undefined;
  rows?: number | undefined;
}

/** A terminal's size is nothing without it, and it has no input that ends. */
export function terminalFits({ tty, stdin, columns, rows }: OnTerminal): boolean {
  return tty === true ? stdin === undefined : columns === undefined && rows === undefined;
}
export const TERMINAL_MISFIT = 'stdin goes without tty; columns and rows go with tty: true only';

/** How a program of a plan ended. */
export const ProgramEnd = z.object({
  /** Exit status; absent when a signal ended it, or when nothing was to do. */
  code: z.int().optional(),
  signal: z.string().optional(),
  stdout: Captured,
  stderr: Captured,
  duration_ms: z.number(),
  /** false: `creates` or `unless` said that nothing was to do. */
  started: z.boolean(),
  /** Of a failure that `remedies` know. */
  known: Known.optional(),
});

/** A program of the plan's own. It outlives the agent (ENGINE 3.1). */
export const command = defineAction({
  kind: 'command',
  version: 2,
  summary: 'run a program or a line of shell',
  input: z
    .strictObject({
      /** Program and arguments, no shell. The program is looked up in PATH. */
      argv: Argv.optional(),
      /** Text for `/bin/sh -c`. */
      shell: z.string().min(1).optional(),
      ...aroundProgram,
    })
    .refine((input) => given(input, ['argv', 'shell']).length === 1, 'give exactly one of argv and shell')
    .refine(terminalFits, TERMINAL_MISFIT),
  output: ProgramEnd,
  shorthand: (value) =>
    typeof value === 'string' ? { shell: value } : Array.isArray(value) ? { argv: value } : undefined,
  changes: true,
  repeatable: (input) => input.creates !== undefined || input.unless !== undefined,
  undo: 'cannot',
  example: {
    argv: ['kubeadm', 'init', '--config', '/etc/kubernetes/kubeadm.yaml'],
    creates: '/etc/kubernetes/admin.conf',
  },
});
