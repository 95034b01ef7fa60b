import type { BlobRef } from '../../shared/blob.ts';
import type { Position } from '../../shared/errors.ts';
import type { BlockPart, Json, Place, RegisterType, SourceText, Vars } from '../../shared/share.ts';

import type { Lock } from './components/lock.ts';
import type { ComponentFile } from './components/resolve.ts';

/**
 * Every text a plan is made of, by path as the person knows it: the plan file, the inventory file, playbooks, roles'
 * tasks, defaults, templates and files. Loading is the only part that reads files; parsing is pure over this.
 */
export interface Sources {
  /** Key into `texts`. */
  plan: string;
  texts: Record<string, string>;
  /** The user's folders of playbooks and roles, searched before anything else. */
  playbookPath?: readonly string[];
  /** Files of roles and those that tasks name by a path of their own: their digests; the bytes are asked for later. A name with `/` at its end is an empty folder. */
  files?: Readonly<Record<string, BlobRef>>;
  /** Run these instead of the plan's own: what a command does with the machines of a plan. Its hooks are then left out. */
  playbooks?: readonly string[];
  /** Files that are there but cannot be taken, by path: why. What is in neither is absent. */
  refused?: Record<string, string>;
  /** Names there are to choose from, for "did you mean": built-in ones and those of the user's folders. */
  offered?: { playbooks: readonly string[]; roles: readonly string[] };
}

/** A plan that is valid: every reference resolved, every default filled in. Frozen. */
export interface Plan {
  name: string;
  inventory: Inventory;
  plays: Play[];
  /** spec.config. */
  config: Vars;
  /** Roles used by the plays, by name. */
  roles: Record<string, Role>;
  /** Absent: nothing of the plan speaks of components. */
  components?: PlanComponents;
}

/** What a plan fetches. */
export interface PlanComponents {
  /** Of the components that its tasks name. */
  files: ComponentFile[];
  /** What the lock file says. */
  lock: Lock;
  /** What a person should know, though nothing is wrong. */
  notes: string[];
  /** `components.<name>.version`, `components.versions.<name>`. */
  vars: Vars;
}

export interface Inventory {
  /** In the order of the file: `first` means first here. */
  nodes: InventoryNode[];
  /** Every group, `all` included, with its nodes expanded (in inventory order) and its own variables. */
  groups: Record<string, Group>;
  vars: Vars;
}

export interface InventoryNode {
  name: string;
  /** What the other nodes know it by: an IP address. */
  address: string;
  ssh: SshSettings | undefined;
  vars: Vars;
  /** From the widest to the narrowest, `all` first. */
  groups: string[];
  at: Position;
}

export interface Group {
  name: string;
  nodes: string[];
  children: string[];
  vars: Vars;
}

/** How to put the agent there; undefined on the node = it joins by itself. */
export interface SshSettings {
  /** Default: the node's address. */
  host: string;
  /** Default 22. */
  port: number;
  /** Default root. */
  user: string;
  /** Paths on the controller's machine. */
  privateKeyFile?: string;
  passwordFile?: string;
  sudoPasswordFile?: string;
  /** Default: ~/.ssh/known_hosts of who runs the controller. */
  knownHostsFile?: string;
  /** `strict`: the key must be known. `accept-new` (default): unknown keys are taken and kept, changed ones refused. */
  hostKeys: 'strict' | 'accept-new';
  /** ProxyJump. */
  jump?: string;
  /** Seconds, default 10. */
  connectTimeout: number;
}

export interface Play {
  name: string;
  /** In inventory order; may be empty. */
  nodes: string[];
  /** Runs before anything that changes a node, and holds it (ENGINE 1.5). */
  precheck: boolean;
  /** Roles in order; a play's own `tasks:` are a role of the play's name at the end. */
  roles: RoleUse[];
  /** Sizes of the batches in turn, the last one repeats; undefined: all at once. Percentages already resolved. */
  serial: number[] | undefined;
  maxFailPercentage: number | undefined;
  anyErrorsFatal: boolean;
  /** `all`: every step of this play waits for every step of the play before. */
  afterAll: boolean;
  vars: Vars;
  at: Position;
  /** Of a hook: the play that it belongs to. */
  hookOf?: string;
  /** Plays before it that it does not wait for, with their hooks (`needs` of a play). */
  besides?: string[];
}

export interface RoleUse {
  role: string;
  tags: string[];
  when: SourceText[];
  vars: Vars;
  at: Position;
}

export interface Role {
  name: string;
  tasks: TaskDocument[];
  defaults: Vars;
  /** `role/templates/x` and `role/files/x` -> text. */
  files: Record<string, string>;
}

/** A task as written, with defaults filled and its action's inputs checked as far as they are literal. */
export interface TaskDocument {
  /** Unique in the role: `id`, else made from the name. */
  id: string;
  name: string;
  at: Position;
  action: string;
  inputs: Json;
  places: Record<string, Place>;
  /** Files that its `src` may name, by `blobName`, and those of its component, by `componentBlob`; undefined: it names none. */
  blobs: Record<string, BlobRef> | undefined;
  /** The components that it names; absent: none. */
  components?: string[];
  /** A selector: node or group name(s); the nodes it runs on instead of the play's. */
  on: string[] | undefined;
  /** Done by the controller itself; undefined: by the agents of nodes. */
  place: 'controller' | undefined;
  /** Of a task of the controller, a selector: the nodes that it is done for, once each. undefined: once, for the first of the play. */
  per: string[] | undefined;
  /** undefined: the predecessor on the same node. */
  needs: NeedDocument[] | undefined;
  when: SourceText[];
  loop: Json | undefined;
  register: { name: string; type: RegisterType; pattern?: string } | undefined;
  until: SourceText | undefined;
  retries: number;
  delay: number;
  timeout: number;
  failedWhen: SourceText[];
  changedWhen: SourceText[];
  vars: Vars;
  tags: string[];
  runOnce: boolean;
  ignoreErrors: boolean;
  lock: string | undefined;
  alone: boolean;
  permit: { name: string; count: number } | undefined;
  sensitive: boolean;
  onInterrupt: 'fail' | 'rerun';
  /** A failure of it exceeds the play's budget at once. */
  anyErrorsFatal: boolean;
  /** Tasks that restore a known state after an interruption; they have no `recover` of their own. */
  recover: TaskDocument[];
  /** Tasks that undo this one in a rollback; they have no `rollback` of their own. */
  rollback: TaskDocument[];
  /** The block it stands in directly, which is a task of its own (action `block`) before it in the list. */
  within: { block: TaskDocument; part: BlockPart } | undefined;
}

/** `{task|role|play: X, of: all | same | first | any}`. */
export interface NeedDocument {
  target: 'task' | 'role' | 'play';
  name: string;
  of: 'all' | 'same' | 'first' | 'any';
  at: Position;
}
