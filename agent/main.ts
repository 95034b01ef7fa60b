/**
 * `kk-agent`: argv in, exit code out. `run-command` starts once for every command of a plan, so it loads nothing but the
 * wrapper; everything else is behind ./program.ts.
 */
async function main(): Promise<void> {
  const [, , command, folder] = process.argv;
  if (command === 'run-command') {
    const { runWrapper } = await import('./host/command-wrapper.ts');
    await runWrapper(folder ?? '.');
  } else {
    const { runProgram } = await import('./program.ts');
    await runProgram();
  }
}

void main();
