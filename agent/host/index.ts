import { bootTimeMs } from './clock.ts';
import { commandRunner } from './command-runner.ts';
import { hostFiles } from './files.ts';
import type { Host } from './host.ts';
import { runProgram } from './process.ts';

/**
 * The machine the agent runs on. `wrapper.argv` is how the agent starts the process that runs a command; the command's
 * folder is appended: `[node, 'agent/host/command-wrapper-main.ts']`, or `[kk-agent, 'run-command']` once packaged.
 */
export function createHost({ wrapper }: { wrapper: { argv: readonly [string, ...string[]] } }): Host {
  return {
    files: hostFiles,
    run: runProgram,
    commands: commandRunner(wrapper),
    bootTimeMs,
    nowMs: () => Date.now(),
  };
}
