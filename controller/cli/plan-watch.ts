import type { Cli } from './cli.ts';
import { rawWatcher, type Watcher } from './follow.ts';
import { type Live, startLive } from './live.ts';
import type { Format } from './options.ts';
import { eventText } from './output/event-text.ts';
import { progressFrame } from './output/frame.ts';
import { Progress } from './output/progress.ts';
import { reportLines } from './output/report.ts';

/** The watcher of `apply`: live on a terminal, one line per event in a pipe, every line as it is for programs. */
export async function planWatcher(
  cli: Cli,
  format: Format,
  options: { diff: boolean; rollsBack?: boolean },
): Promise<Watcher> {
  if (format !== 'table') return rawWatcher(cli, format);
  const { out, now } = cli.parts;
  const { colors } = cli;
  const onTerminal = cli.isLive;
  const progress = new Progress();
  const known = new Set<string>();
  const size = () => ({ columns: out.columns || 80, rows: out.rows || 24 });
  const live: Live | undefined = onTerminal
    ? await startLive(out, () => progressFrame(progress, { ...size(), nowMs: now(), colors }))
    : undefined;
  const say = (lines: readonly string[]): void => {
    if (live) live.above(lines);
    else if (lines.length > 0) cli.print(lines);
  };
  /** Lines of the run so far, and those told before the stream started over. */
  let seen = 0;
  let told = 0;
  return {
    line(line) {
      progress.add(line);
      if (line.type !== 'run') seen += 1;
      if (seen > told || (line.type === 'run' && told === 0)) {
        say(eventText(line, { colors, times: !onTerminal, progress: !onTerminal, told: known }));
      }
      live?.touch();
    },
    note: (text) => say([colors.yellow(text)]),
    ...(live ? { hold: () => live.hold() } : {}),
    restart() {
      told = Math.max(told, seen);
      seen = 0;
    },
    end(run) {
      live?.end();
      if (run) cli.print(['', ...reportLines(run, { colors, columns: size().columns, ...options })]);
    },
  };
}
