/**
 * Stands for ./main.ts in the package (scripts/package-controller.ts). There a command that is asked often is one file of its
 * own: to find and read the 30 that it shares with others takes as long as it then runs.
 */
import { createRequire } from 'node:module';
import { commandIn } from './cli/command-in.ts';
import { keepCompiledCode } from './compiled-code.ts';
import { OFTEN } from './often.ts';

keepCompiledCode();
const meant = commandIn(process.argv.slice(2)) ?? '';
const { runClient }: typeof import('./client.ts') = OFTEN.includes(meant)
  ? createRequire(import.meta.url)(`./command-${meant}.cjs`)
  : await import('./client.ts');
await runClient();
