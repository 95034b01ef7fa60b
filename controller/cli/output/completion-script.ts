import type { Command } from 'commander';
import { bashScript } from './completion-bash.ts';
import { entriesOf } from './completion-entries.ts';
import { fishScript } from './completion-fish.ts';
import { zshScript } from './completion-zsh.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript };

/** A completion script made from the program itself, so that it always fits. */
export function completionScript(shell: Shell, program: Command): string {
  return SCRIPTS[shell](program.name(), entriesOf(program, ''));
}
