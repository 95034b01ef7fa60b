import { bootTimeMs } from './clock.ts';
import { commandRunner } from './command-runner.ts';
import type { Standby } from './command-standby.ts';
import { hostFiles } from './files.ts';
import type { Host } from './host.ts';
import { runProgram } from './process.ts';

/** How a command's wrapper is started. */
interface Wrapper {
  argv: readonly [string, ...string[]];
  standby?: Standby | undefined;
}

/**
 * The machine the agent runs on. `wrapper.argv` is how the agent starts the process that runs a command; the command's
 * folder is appended: `[node, 'agent/host/command-wrapper-main.ts']`, or `[kk-agent, 'run-command']` once packaged. `standby`
 * is one that was started so already.
 */
export function createHost({ wrapper }: { wrapper: Wrapper }): Host {
  return {
    files: hostFiles,
    run: runProgram,
    commands: commandRunner(wrapper),
    bootTimeMs,
    nowMs: () => Date.now(),
  };
}
