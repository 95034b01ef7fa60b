import type { ActiveRun } from '../run/active-run.ts';
import type { Clock, Dispatcher } from '../run/ports.ts';
import type { Runner } from '../run/runner.ts';
import type { Bootstrapper } from './bootstrapper.ts';

export interface BringParts {
  runner: Runner;
  dispatcher: Pick<Dispatcher, 'isConnected'>;
  bootstrapper: Bootstrapper;
  clock: Clock;
  /** Aborts when the controller stops. */
  stop: AbortSignal;
}

/**
 * Brings the nodes of a run that are not there, and tells the run how that goes: when it is applied or taken up again, and
 * when a controller finds it in the store. Dry runs put no agent anywhere, and an exec waits for nobody.
 */
export function bringNodes(parts: BringParts, run: ActiveRun): void {
  if (run.record.kind !== 'plan') return;
  const { runner, clock, bootstrapper } = parts;
  const nodes = run.graph.nodes.flatMap((name, index) => {
    const isWanted = run.nodes.has(name) && (run.state.pending[index] ?? 0) > 0 && run.state.nodes[index] === 'waiting';
    return isWanted ? [{ name, ssh: run.graph.ssh?.[name] }] : [];
  });
  // A revision may count its nodes otherwise.
  const indexOf = (node: string): number => run.indexes.get(node) ?? -1;
  const progress = {
    phase: (node: string, phase: string): void =>
      runner.record(run.record.id, { kind: 'bootstrap', at: clock.nowMs(), node: indexOf(node), phase }),
    done: (node: string, error: Parameters<Parameters<Bootstrapper['bring']>[1]['done']>[1]): void => {
      // It may have joined by itself meanwhile.
      if (error && !parts.dispatcher.isConnected(node))
        runner.record(run.record.id, { kind: 'given_up', at: clock.nowMs(), node: indexOf(node), error });
    },
  };
  void bootstrapper.bring(nodes, progress, parts.stop);
}
