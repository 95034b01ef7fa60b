import type { z } from 'zod';
import { assert } from './assert.ts';
import { blockInFile } from './block-in-file.ts';
import { certificateRequest } from './certificate-request.ts';
import { check } from './check.ts';
import { command } from './command.ts';
import { copy } from './copy.ts';
import { cron } from './cron.ts';
import { debug } from './debug.ts';
import type { ActionContract } from './define-action.ts';
import { directory } from './directory.ts';
import { download } from './download.ts';
import { facts } from './facts.ts';
import { fetch } from './fetch.ts';
import { file } from './file.ts';
import { firewall } from './firewall.ts';
import { group } from './group.ts';
import { hostname } from './hostname.ts';
import { http } from './http.ts';
import { kernelModule } from './kernel-module.ts';
import { lineInFile } from './line-in-file.ts';
import { isLocalAction, LOCAL_ACTIONS, type LocalActionKind } from './local.ts';
import { mount } from './mount.ts';
import { packageAction } from './package.ts';
import { reboot } from './reboot.ts';
import { repository } from './repository.ts';
import { scanPorts } from './scan-ports.ts';
import { script } from './script.ts';
import { selinux } from './selinux.ts';
import { setFact } from './set-fact.ts';
import { stat } from './stat.ts';
import { swap } from './swap.ts';
import { sysctl } from './sysctl.ts';
import { systemd } from './systemd.ts';
import { timer } from './timer.ts';
import { timezone } from './timezone.ts';
import { unarchive } from './unarchive.ts';
import { undo } from './undo.ts';
import { user } from './user.ts';
import { waitFor } from './wait-for.ts';

/** The catalogue: every action kind that agents know. Adding one starts here; the compiler points at the rest. */
export const ACTIONS = {
  assert,
  block_in_file: blockInFile,
  certificate_request: certificateRequest,
  check,
  command,
  copy,
  cron,
  debug,
  directory,
  download,
  facts,
  fetch,
  file,
  firewall,
  group,
  hostname,
  http,
  kernel_module: kernelModule,
  line_in_file: lineInFile,
  mount,
  package: packageAction,
  reboot,
  repository,
  scan_ports: scanPorts,
  script,
  selinux,
  set_fact: setFact,
  swap,
  stat,
  sysctl,
  systemd,
  timer,
  timezone,
  unarchive,
  undo,
  user,
  wait_for: waitFor,
} as const;

export type ActionKind = keyof typeof ACTIONS;
export type ActionInput<K extends ActionKind> = z.infer<(typeof ACTIONS)[K]['input']>;
export type ActionOutput<K extends ActionKind> = z.infer<(typeof ACTIONS)[K]['output']>;

export function isActionKind(word: string): word is ActionKind {
  return Object.hasOwn(ACTIONS, word);
}

/** Does the action run a program of the plan's own, which outlives the agent and tells its end as `command` does? */
export function runsProgram(kind: string): boolean {
  return kind === 'command' || kind === 'script';
}

/** What the author of a plan may write: done by agents, or by the controller itself. */
export type PlanActionKind = ActionKind | LocalActionKind;

/** The action kinds that the author of a plan may write. */
export const PLAN_ACTIONS: readonly PlanActionKind[] = Object.values({ ...ACTIONS, ...LOCAL_ACTIONS })
  .flatMap((action) => ('internal' in action ? [] : [action.kind]))
  .sort();

export function isPlanAction(word: string): word is PlanActionKind {
  return PLAN_ACTIONS.some((kind) => kind === word);
}

/** A contract whose kind is known only when it runs. */
export type AnyContract = Omit<ActionContract<PlanActionKind, z.ZodType, z.ZodType>, 'repeatable'> & {
  repeatable: boolean | ((input: never) => boolean);
};

/** The contract of an action, wherever it is done; undefined: there is no such one (`block`). */
export function contractOf(word: PlanActionKind): AnyContract;
export function contractOf(word: string): AnyContract | undefined;
export function contractOf(word: string): AnyContract | undefined {
  if (isLocalAction(word)) return LOCAL_ACTIONS[word];
  return isActionKind(word) ? ACTIONS[word] : undefined;
}

/** The lock of an action's own, whatever its task says. */
export function lockOf(word: string): string | undefined {
  const action = isActionKind(word) ? ACTIONS[word] : undefined;
  return action !== undefined && 'lock' in action ? action.lock : undefined;
}

/** What an agent says in Hello, and a share asks of it (ENGINE 2.9). */
export function capabilities(): string[] {
  return Object.values(ACTIONS).map((a) => `action:${a.kind}@${a.version}`);
}
