import { homedir, userInfo } from 'node:os';
import { isatty } from 'node:tty';
import { fileURLToPath } from 'node:url';
import { runCli } from './cli/program.ts';
import { ownTerminal } from './cli/terminal.ts';
import { proxiesIn } from './config/proxy.ts';
import { readSettings } from './config/settings.ts';
import { VERSION } from './config/version.ts';

function onSignals(signals: readonly NodeJS.Signals[], handler: () => void): () => void {
  for (const signal of signals) process.on(signal, handler);
  return () => {
    for (const signal of signals) process.off(signal, handler);
  };
}

async function ask(question: string): Promise<string> {
  const { createInterface } = await import('node:readline/promises');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await terminal.question(question);
  } finally {
    terminal.close();
  }
}

/** argv in, exit code out. The controller itself is loaded only by `serve`: every other command is a quick client. */
export async function runClient(): Promise<void> {
  // A reader that goes away (`| head`) is no error of ours.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0);
      throw error;
    });
  }

  // Components are asked for through them; the controller's own sockets go past.
  const { proxies, wrong } = proxiesIn(process.env);
  for (const name of wrong) {
    // What is handed in empty is taken from the process after all.
    delete process.env[name];
    process.stderr.write(`${name} is no address of an HTTP proxy (http://host:port): it is not used.\n`);
  }
  // Imported by name, node:http would load all that it can do, which costs every command more than its own work.
  if (proxies.http_proxy || proxies.https_proxy)
    process.getBuiltinModule('node:http').setGlobalProxyFromEnv({ ...proxies });

  const who = userInfo();
  const settings = readSettings(process.env, { uid: who.uid, user: who.username, home: homedir() });

  process.exitCode = await runCli(process.argv.slice(2), {
    out: process.stdout,
    err: process.stderr,
    settings,
    now: Date.now,
    version: VERSION,
    self: { command: process.execPath, args: [process.argv[1] ?? ''] },
    // By its number: to look at the stream opens it.
    ...(isatty(0) ? { ask, terminal: ownTerminal(process) } : {}),
    onInterrupt: (handler) => onSignals(['SIGINT'], handler),
    onStop: (handler) => onSignals(['SIGINT', 'SIGTERM'], handler),
    async backup(stateFolder, file, logs) {
      const { backupOffline } = await import('./compose/upkeep.ts');
      return backupOffline(stateFolder, file, logs);
    },
    async restore(stateFolder, file) {
      const { restoreOffline } = await import('./compose/upkeep.ts');
      return restoreOffline(stateFolder, file);
    },
    async runServe(options, io) {
      const { runServe } = await import('./compose.ts');
      const agentFolder = settings.agentFolder ?? fileURLToPath(new URL('../dist/agent', import.meta.url));
      return runServe({ ...options, agentFolder }, { ...io, environment: process.env });
    },
  });
}
